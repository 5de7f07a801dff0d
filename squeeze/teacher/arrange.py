"""How samples can be arranged so that they are what an input takes, and which of its axes is the batch then."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from squeeze.interface import is_of_a_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from squeeze.end import End, Size


def matched(
    declared: End, example: NDArray[np.generic]
) -> tuple[int | None, NDArray[np.generic]] | None:
    """The batch's axis, and the example as samples without it."""
    if declared.sizes is None:
        return (0 if example.ndim > 1 else None), example
    axes = batch_axes(declared)
    for arranged in arrangements(example):
        for axis in axes:
            samples = _without_batch(arranged, declared.sizes, axis)
            if samples is not None:
                return axis, samples
    for axis in axes:
        wanted = others(declared.sizes, axis)
        if all(isinstance(d, int) for d in wanted):
            reordered = _reordered(example, [int(d) for d in wanted])
            if reordered is not None:
                return axis, reordered
    return None


def batch_axes(declared: End) -> list[int | None]:
    """Where the batch may be, the likeliest first; None for nowhere. A first axis that is always larger than 1 is
    likely something else where others may vary, and an axis that is called a size of a sample is one rather than none.
    """
    sizes = declared.sizes or ()
    named = declared.batch_axes()
    if named:
        return [*named]
    if not sizes:
        return [None]
    varying = [i for i, d in enumerate(sizes) if isinstance(d, str)]
    if len(sizes) == 1 and not varying:
        return [None, 0]
    order = [0, *varying] if isinstance(sizes[0], str) or sizes[0] == 1 else [*varying, 0]
    likely = [i for i in dict.fromkeys(order) if not is_of_a_sample(sizes[i])]
    return [*likely, None, *(i for i in dict.fromkeys(order) if i not in likely)]


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


def _without_batch(
    samples: NDArray[np.generic], sizes: tuple[Size, ...], axis: int | None
) -> NDArray[np.generic] | None:
    wanted = others(sizes, axis)
    if _fits(samples.shape[1:], wanted):
        return samples
    whole = axis is not None and samples.ndim - 1 == len(sizes) and samples.shape[1 + axis] == 1
    if axis is None or not whole:
        return None
    dropped = np.squeeze(samples, axis=1 + axis)
    return dropped if _fits(dropped.shape[1:], wanted) else None


def others(sizes: tuple[Size, ...], axis: int | None) -> tuple[Size, ...]:
    """The sizes without that of `axis`."""
    return tuple(d for i, d in enumerate(sizes) if i != axis)


def _fits(got: tuple[int, ...], wanted: tuple[Size, ...]) -> bool:
    return len(got) == len(wanted) and all(
        isinstance(w, str) or w == g for g, w in zip(got, wanted, strict=True)
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
