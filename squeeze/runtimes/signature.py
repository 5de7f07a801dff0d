"""What a model takes: its inputs as the runtime states them, samples made to fit, and casts that lose nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.interface import named_batch_axes

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnxruntime as ort

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(uint8)": "uint8",
}

# A picture of 4K fits; what a damaged file asks for is more.
MOST_NUMBERS = 1 << 25


@dataclass(frozen=True)
class Input:
    """One input of a model. A dimension is a number, or the name of one that may vary."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | str, ...]

    @property
    def batch_axis(self) -> int | None:
        """The axis that is named like a batch, else the first; None for a single number."""
        return next(iter(named_batch_axes(self.shape)), 0) if self.shape else None


def signature(session: ort.InferenceSession) -> tuple[Input, ...]:
    """The inputs of an open model. Raises UnsupportedError for anything but tensors of numbers."""
    inputs = []
    for value in session.get_inputs():
        if value.type not in _DTYPES:
            raise UnsupportedError(
                f"input '{value.name}': {value.type}; squeeze runs tensors of "
                f"{', '.join(_DTYPES.values())}"
            )
        shape = tuple(
            d if isinstance(d, int) else str(d or f"dim{i}") for i, d in enumerate(value.shape)
        )
        inputs.append(Input(value.name, np.dtype(_DTYPES[value.type]), shape))
    return tuple(inputs)


def _may_be_empty(size: int | str) -> bool:
    """Whether it is how much a decoder has seen before."""
    return isinstance(size, str) and re.search("past|cache", size, re.I) is not None


def sized(needs: Input, shape: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of one run, batch included: `shape`, or the model's own with a varying batch of 1.

    Raises ConfigError when `shape` does not fit, or when there is none and another dimension may vary.
    """
    if shape is None:
        batch = needs.batch_axis
        varying = [d for i, d in enumerate(needs.shape) if isinstance(d, str) and i != batch]
        if varying:
            raise ConfigError(
                f"input '{needs.name}': dimensions {', '.join(varying)} of {list(needs.shape)} may vary; "
                f"say their sizes with --shape, batch included, e.g. --shape {_example(needs)}"
            )
        return tuple(d if isinstance(d, int) else 1 for d in needs.shape)
    given = tuple(shape)
    fits = len(given) == len(needs.shape) and all(
        (got >= 1 or (got == 0 and _may_be_empty(need)))
        and (not isinstance(need, int) or need == got)
        for need, got in zip(needs.shape, given, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"--shape {'x'.join(map(str, given))}: input '{needs.name}' takes {list(needs.shape)}, "
            f"e.g. --shape {_example(needs)}"
        )
    return given


def generate(
    needs: Input, shape: Sequence[int] | None = None, seed: int = 0
) -> npt.NDArray[np.generic]:
    """A seeded sample for `needs`: normal floats, whole bytes, and 0 or 1 for wider integers (valid token ids).

    Raises ConfigError as `sized` does, and for more numbers than a machine would hold.
    """
    shape = sized(needs, shape)
    if math.prod(shape) > MOST_NUMBERS:
        raise ConfigError(
            f"input '{needs.name}': {list(shape)} are too many numbers to make up (at most {MOST_NUMBERS:,}); "
            "is the size in the file right?"
        )
    rng = np.random.default_rng(seed)
    if needs.dtype.kind == "f":
        return rng.standard_normal(shape).astype(needs.dtype)
    if needs.dtype.itemsize == 1 and needs.dtype.kind in "iu":
        limits = np.iinfo(needs.dtype.name)
        return rng.integers(limits.min, limits.max + 1, shape).astype(needs.dtype)
    return rng.integers(0, 2, shape).astype(needs.dtype)


def cast_to(needs: Input, x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """`x` in the input's dtype. Raises ConfigError when the shape does not fit or the cast would change values."""
    fits = x.ndim == len(needs.shape) and all(
        not isinstance(need, int) or need == got
        for need, got in zip(needs.shape[1:], x.shape[1:], strict=True)
    )
    if not fits:
        allowed = ["n", *map(str, needs.shape[1:])]
        raise ConfigError(
            f"input '{needs.name}': got shape {list(x.shape)}, the model takes [{', '.join(allowed)}]"
        )
    if x.dtype == needs.dtype:
        return x
    if needs.dtype.kind in "iu" and x.dtype.kind in "iub":
        limits = np.iinfo(needs.dtype.name)
        if limits.min <= int(x.min(initial=0)) and int(x.max(initial=0)) <= limits.max:
            return x.astype(needs.dtype)
    elif needs.dtype.kind == "f" and x.dtype.kind == "f":
        return x.astype(needs.dtype)
    raise ConfigError(
        f"input '{needs.name}': got {x.dtype} values, the model takes {needs.dtype}; "
        "change the preprocessing of the calibration set"
    )


def _example(needs: Input) -> str:
    sizes = [
        d if isinstance(d, int) else 1 if i == needs.batch_axis else 128
        for i, d in enumerate(needs.shape)
    ]
    return "x".join(map(str, sizes))
