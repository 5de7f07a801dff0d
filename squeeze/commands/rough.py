"""A model in the form that a device takes, without data: for what does not hang on values, such as cycles or memory.

Cases: a device that runs float (the file as it is); one that runs integers alone, and a float file (int8 by the ranges
of made-up inputs, whose answers mean nothing); an int8 file (as it is).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squeeze import teacher
from squeeze.runtimes.signature import Input, generate
from squeeze.teacher.sized import samples_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from squeeze.feed import Feed
    from squeeze.target import Target
    from squeeze.teacher import Teacher

MADE_UP = "int8 by the ranges of made-up inputs: cost alone, its answers mean nothing"


def integers_only(target: Target) -> bool:
    """Whether the device runs no float32 model."""
    return "float32" not in target.numerics.dtypes


def read(
    model: Path, shapes: Mapping[str, Sequence[int]], folder: Path
) -> tuple[Teacher, Feed, tuple[str, ...]]:
    """The model as squeeze takes it in, one sample [1, ...] for each input, and what was assumed of sizes.

    Raises ConfigError or UnsupportedError as `squeeze.teacher.load`.
    """
    example, assumed = samples_of(str(model), None, shapes)
    made = teacher.load(str(model), weights=None, example=example, folder=folder)
    feed = example if example is not None else made_up(made)
    return made, {name: x[:1] for name, x in feed.items()}, assumed


def made_up(taken: Teacher) -> dict[str, npt.NDArray[np.generic]]:
    """A seeded sample [1, ...] for each input."""
    found = {}
    for seed, spec in enumerate(taken.interface.inputs):
        shape = (1, *spec.shape)
        found[spec.name] = generate(Input(spec.name, np.dtype(spec.dtype), shape), shape, seed)
    return found
