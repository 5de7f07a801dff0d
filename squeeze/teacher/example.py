"""Inputs to try a teacher on: the data's first samples, arranged as the model takes them, or generated ones."""

from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Shape = tuple[int | None, ...]  # the batch included; None where a size may vary
COUNT = 3


def for_input(
    example: NDArray[np.generic] | None, name: str, dtype: str, shape: Shape, where: str
) -> NDArray[np.generic]:
    """`COUNT` samples for the input. Layout and the dtype's width are adapted, as the calibration set will be fitted.

    Raises ConfigError naming both sides when the example cannot be meant for this input, and when there is no
    example but a size that only one could tell.
    """
    if not shape:
        raise ConfigError(
            f"{where}: input '{name}' has no batch dimension; it is needed as the first one"
        )
    wants = f"'{name}' {dtype} [{', '.join(['n', *(str(d or '?') for d in shape[1:])])}]"
    if example is None:
        if None in shape[1:]:
            raise ConfigError(
                f"{where}: the input {wants} has sizes that may vary; data is needed to know them (--calib)"
            )
        return _generated(dtype, [d for d in shape[1:] if d is not None])
    has = f"{example.dtype} [{', '.join(['n', *map(str, example.shape[1:])])}]"
    if len(example) == 0:
        raise ConfigError(f"{where}: got no example inputs; one or more are needed")
    fitting = next((a for a in arrangements(example) if _fits(a.shape, shape)), None)
    if fitting is None and None not in shape[1:]:
        fitting = _reordered(example, [d for d in shape[1:] if d is not None])
    if fitting is None:
        raise ConfigError(
            f"{where}: the teacher takes {wants}, the data gives {has}; give data of that shape, or set its layout"
        )
    if not _convertible(fitting, np.dtype(dtype)):
        raise ConfigError(
            f"{where}: the teacher takes {wants}, the data gives {has}; give data of that type"
        )
    return np.ascontiguousarray(np.resize(fitting.astype(dtype), (COUNT, *fitting.shape[1:])))


def arrangements(example: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """The example as it is, with its channels first, with a channel axis, without one, flat."""
    yield example
    if example.ndim >= 3:
        yield np.moveaxis(example, -1, 1)
        yield example[:, None]
        yield example[..., None]
    if example.ndim >= 3 and example.shape[1] == 1:
        yield example[:, 0]
    if example.ndim >= 3 and example.shape[-1] == 1:
        yield example[..., 0]
    if example.ndim >= 3:
        yield example.reshape(len(example), -1)


def _fits(got: tuple[int, ...], wanted: Shape) -> bool:
    return len(got) == len(wanted) and all(
        w in (None, g) for g, w in zip(got[1:], wanted[1:], strict=True)
    )


def _reordered(example: NDArray[np.generic], wanted: list[int]) -> NDArray[np.generic] | None:
    """The example with its axes in another order, and axes of size 1 put in or left out."""
    has = [d for d in example.shape[1:] if d != 1]
    needs = [d for d in wanted if d != 1]
    if len(has) > 4 or sorted(has) != sorted(needs):
        return None
    plain = example.reshape(len(example), *has)
    for order in permutations(range(len(has))):
        if [has[i] for i in order] == needs:
            moved = np.transpose(plain, (0, *(i + 1 for i in order)))
            return moved.reshape(len(example), *wanted)
    return None


def _convertible(x: NDArray[np.generic], dtype: np.dtype[np.generic]) -> bool:
    if x.dtype.kind == "f" and dtype.kind in "iu":
        return bool(np.all(np.mod(x, 1) == 0)) and _in_range(x, dtype)
    if dtype.kind in "iu":
        return x.dtype.kind in "iub" and _in_range(x, dtype)
    return dtype.kind == "f" and x.dtype.kind in "fiub"


def _in_range(x: NDArray[np.generic], dtype: np.dtype[np.generic]) -> bool:
    limits = np.iinfo(dtype.name)
    return bool(limits.min <= x.min(initial=0) and x.max(initial=0) <= limits.max)


def _generated(dtype: str, shape: list[int]) -> NDArray[np.generic]:
    """Seeded: normal floats, 0 or 1 for integers (valid token ids)."""
    if math.prod(shape) > 1 << 28:
        raise ConfigError(f"an input of shape {shape} is larger than any that squeeze compiles for")
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal((COUNT, *shape)).astype(dtype)
    return rng.integers(0, 2, (COUNT, *shape)).astype(dtype)
