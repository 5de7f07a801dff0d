"""Which axis of a stored sample is which axis of the model's input, where nobody says so.

In this order: the axis of size 1 where the model has its batch dropped; equal shapes; axes of size 1 added or dropped;
channels of an image moved; a single-channel sample flattened. Any other transposition is a guess about what the axes
mean: it is named in the error, never done.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib import modality as calib_modality
from squeeze.calib.preprocess import Preprocess, arranged
from squeeze.calib.stored import Data
from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from squeeze.interface import TensorSpec

_SPARE = "CABDEGIJKLMOPQRSUVXYZ"  # names for axes of size 1; the first is the channel
_MOST_SUGGESTED_AXES = 5


def without_batch(data: Data, model: TensorSpec) -> tuple[Data, int | None]:
    """Samples stored as the model takes one, a batch of 1: without that axis, and which it was."""
    axis = model.batch_axis
    if (
        axis is None
        or len(data.shape) != len(model.shape) + 1
        or data.shape[axis] != 1
        or not _same(shape := data.shape[:axis] + data.shape[axis + 1 :], model.shape)
    ):
        return data, None
    dtype, modality = np.dtype(data.dtype), data.modality
    # What a TOML says of the modality stays.
    if modality == calib_modality.infer_kind(data.shape, dtype, pixels=data.pixels):
        modality = calib_modality.infer_kind(shape, dtype, pixels=data.pixels)
    return replace(data, shape=shape, modality=modality), axis


def layout_for(
    data: Data, preprocess: Preprocess, model: TensorSpec
) -> tuple[str, tuple[str, ...]]:
    """The layout of `Preprocess`, and what was assumed. Raises ConfigError where none fits."""
    if preprocess.layout != "auto":
        got = arranged(data.shape, preprocess.layout)
        if not _same(got, model.shape):
            raise ConfigError(_mismatch(data, model, preprocess.layout, got))
        return preprocess.layout, ()
    letters = letters_of(data)
    if _same(data.shape, model.shape):
        return f"{letters}->{letters}", ()
    if layout := _unit_axes(data.shape, letters, model.shape):
        return layout, ()
    if data.modality == "image" and len(data.shape) == 3:
        moved = "NCHW" if letters == "NHWC" else "NHWC"
        if _same(arranged(data.shape, f"{letters}->{moved}"), model.shape):
            return f"{letters}->{moved}", ()
    one_channel = data.modality != "image" or len([d for d in data.shape if d != 1]) <= 2
    if one_channel and len(model.shape) == 1 and _same((math.prod(data.shape),), model.shape):
        return "flatten", (f"layout flatten: samples {list(data.shape)} for input {model}",)
    raise ConfigError(_mismatch(data, model, "auto", data.shape))


def dropping(layout: str, axis: int) -> str:
    """`layout` for samples that have an axis of size 1 more at `axis`."""
    if "->" not in layout:
        return layout
    source, wanted = layout.split("->")
    name = next(letter for letter in _SPARE if letter not in source and letter not in wanted)
    return f"{source[: axis + 1]}{name}{source[axis + 1 :]}->{wanted}"


def _unit_axes(shape: tuple[int, ...], letters: str, wanted: tuple[int, ...]) -> str | None:
    """The layout that only adds, drops or moves axes of size 1, if there is one."""
    if len(letters) != len(shape) + 1:
        return None  # more axes than there are names for
    kept = [a for a, d in zip(letters[1:], shape, strict=True) if d != 1]
    units = [a for a, d in zip(letters[1:], shape, strict=True) if d == 1]
    units += [a for a in _SPARE if a not in letters]
    if not _same(tuple(d for d in shape if d != 1), tuple(d for d in wanted if d != 1)):
        return None
    names = "".join(units.pop(0) if d == 1 else kept.pop(0) for d in wanted)
    return f"{letters}->N{names}"


def letters_of(data: Data) -> str:
    """Names for the axes of stored samples, N included; C is the channel."""
    rank = len(data.shape)
    plane = {"image": "HW", "spectrogram": "TF"}.get(data.modality)
    if plane and rank == 2:
        return f"N{plane}"
    if plane and rank == 3:
        return f"N{plane}C" if calib_modality.channel(data.shape) == 2 else f"NC{plane}"
    if data.modality in ("signal", "tokens") and rank in (1, 2):
        return "NT" if rank == 1 else "NCT"
    return "NC" if rank == 1 else f"N{_SPARE[1 : 1 + rank]}"


def _mismatch(data: Data, model: TensorSpec, layout: str, got: tuple[int, ...]) -> str:
    text = f"{data.source}: samples {data.dtype} {list(data.shape)}"
    if got != data.shape:
        text += f" (layout '{layout}' makes them {list(got)})"
    text += f" do not fit the model's input {model}"
    if layout := _suggestion(data, model.shape):
        return f'{text}; layout = "{layout}" under [preprocess] in a TOML would'
    return f"{text}; store the data in that shape, or give the model that belongs to it"


def _suggestion(data: Data, wanted: tuple[int, ...]) -> str:
    """The transposition that would fit, or "flatten", or nothing."""
    rank = len(data.shape)
    if rank == len(wanted) <= _MOST_SUGGESTED_AXES:
        letters = letters_of(data)
        for order in permutations(range(rank)):
            if _same(tuple(data.shape[i] for i in order), wanted):
                return f"{letters}->N{''.join(letters[1 + i] for i in order)}"
    if len(wanted) == 1 and _same((math.prod(data.shape),), wanted):
        return "flatten"
    return ""


def _same(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Equal, where a size of the model that is not fixed (0 or less) takes any."""
    return len(shape) == len(wanted) and all(
        w in (d, 0) or w < 0 for d, w in zip(shape, wanted, strict=True)
    )
