"""Which preprocessing a file can do itself, and what it takes then: samples as they are stored."""

from __future__ import annotations

import numpy as np

from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Raw
from squeeze.interface import TensorSpec


def is_nothing(preprocess: Preprocess, stored: Raw, spec: TensorSpec) -> bool:
    """Whether stored samples are what the model takes already."""
    source, _, wanted = preprocess.layout.partition("->")
    moved = source != wanted if wanted else preprocess.layout == "flatten"
    same_type = stored.dtype.name == np.dtype(spec.dtype).name
    values = preprocess.is_plain and preprocess.resize is None
    return not moved and same_type and values and preprocess.channel_order == "stored"


def as_stored(stored: Raw) -> Preprocess:
    """What is left to do where the file does the rest."""
    return Preprocess(layout="as-is", scale=1.0, dtype=stored.dtype.name)


def stored_spec(preprocess: Preprocess, stored: Raw, spec: TensorSpec) -> TensorSpec:
    """The input of a file that does all of `preprocess` for the input `spec`: stored samples, batch first."""
    shape = tuple(int(d) for d in stored.shape[1:])
    return TensorSpec(
        spec.name,
        stored.dtype.name,
        shape,
        batch_axis=0,
        batch_size=1 if spec.batch_axis is None else spec.batch_size,
        free=tuple(
            (axis, name)
            for i, name in spec.free
            if (axis := stored_axis(preprocess, i)) is not None
        ),
    )


def stored_axis(preprocess: Preprocess, axis: int) -> int | None:
    """The axis of a stored sample that becomes `axis` of the model's; None where none does as it is."""
    if preprocess.layout == "as-is":
        return axis if preprocess.resize is None else None
    source, _, wanted = preprocess.layout.partition("->")
    if not wanted or wanted[axis + 1] not in source:
        return None
    letter = wanted[axis + 1]
    return None if preprocess.resize is not None and letter in "HW" else source.index(letter) - 1
