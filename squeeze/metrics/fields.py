"""Fields of dense outputs: the channels of a map, the coordinates and scores of a detector, the features of a sequence.

The axis of the fields is the first of a sample or its last. Of maps it is the one of size 1, or the one that is not as
long as the axis in the middle, for height and width often are. Of two axes it is the shorter: there are fewer fields
than places (anchors, steps); but where sizes differ clearly more along the other it is that. Else it is the one along
which sizes differ most: fields have scales of their own, places are alike, and where sizes do not differ, no field can
hide behind another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.sums import Array, Floats, Samples, blocks

_LOOKED_AT = 32  # samples that show which axis it is
_SMALLEST = 1e-8  # of the largest mean square: all below are as dead
_CLEARLY = 1.0  # a deviation of logarithms: a factor of e
# A field is not held to more than these: it may vary by less.
OF_ITS_SIZE = 0.1
_OF_THE_LARGEST = 1e-3
_OF_A_PROBABILITY = 0.01


@dataclass(frozen=True)
class Fields:
    """axis: that of the fields, with the samples at 0; None for one number a sample. mean: of each element.

    least: [f], the mean square below which the deviation of a field is not counted.
    """

    axis: int | None
    mean: Floats
    least: Floats


def axis_of(wanted: Samples) -> int | None:
    """`fields_axis` of some samples of [n, ...]."""
    return fields_axis(wanted[:_LOOKED_AT])


def learn(wanted: Samples, axis: int | None) -> Fields:
    """How much each field along `axis` must vary to be held to that.

    A field is held to its own deviation from the mean over samples, element by element, but never to less than a tenth
    of its own root mean square, so that a field that is nearly constant is judged by relative error. Nor to less than
    0.1 % of the deviation of the field that varies most; of fields within 0 and 1 (probabilities, of which one that is
    never high must not count) to less than 1 % of the largest value of them.
    """
    shape = wanted[:1].shape[1:]
    total, squares = np.zeros(shape), np.zeros(shape)
    least_of, most_of = np.array(wanted[:1][0]), np.array(wanted[:1][0])
    for some in blocks(wanted):
        for one in wanted[some]:
            total += one
            squares += np.square(one, dtype=np.float64)
            np.minimum(least_of, one, out=least_of)
            np.maximum(most_of, one, out=most_of)
    return of_sums(len(wanted), total, squares, least_of, most_of, axis)


def of_sums(
    count: int, total: Floats, squares: Floats, lowest: Array, highest: Array, axis: int | None
) -> Fields:
    """The same from sums and extremes of each element over `count` samples."""
    low = of_fields(lowest[None], axis)[0].min(axis=1)
    high = of_fields(highest[None], axis)[0].max(axis=1)
    mean = np.asarray(total / count, np.float64)
    own = _per_field(np.asarray(squares / count), axis)
    varies = _per_field(np.maximum(squares / count - mean * mean, 0), axis)
    bounded = np.asarray((low >= 0) & (high <= 1))
    least = OF_ITS_SIZE**2 * own
    if bounded.any():
        shared = (_OF_A_PROBABILITY * np.max(high, where=bounded, initial=0)) ** 2
        least = np.where(bounded, np.maximum(least, shared), least)
    shared = _OF_THE_LARGEST**2 * np.max(varies, where=~bounded, initial=0)
    least = np.where(bounded, least, np.maximum(least, shared))
    return Fields(axis, mean, np.asarray(least, np.float64))


def fields_axis(values: Array, inputs: Sequence[tuple[int, ...]] = ()) -> int | None:
    """The axis of the fields of values [n, ...]; None where a sample is one number. inputs: the shapes of one sample of
    each: of outputs [n, tokens, features] the tokens are places."""
    if are_of_tokens(values.shape, inputs):
        return 2
    if values.ndim < 3:
        return 1 if values.ndim == 2 else None
    x = np.asarray(values, np.float64)
    between = tuple(i for i in range(x.ndim) if i not in (1, x.ndim - 1))
    table = (x * x).mean(axis=between)
    sizes = np.log(np.maximum(table, (_SMALLEST * table.max()) or 1.0))
    first, last = sizes.mean(axis=1).std(), sizes.mean(axis=0).std()
    if x.ndim == 3:
        longer = _CLEARLY if x.shape[1] <= x.shape[2] else -_CLEARLY
        return 2 if last > first + longer else 1
    if 1 in (x.shape[1], x.shape[-1]):
        return 1 if x.shape[1] == 1 else x.ndim - 1
    like_first, like_last = x.shape[1] == x.shape[2], x.shape[-2] == x.shape[-1]
    if like_first != like_last:
        return 1 if like_last else x.ndim - 1
    return x.ndim - 1 if last > first else 1


def are_of_tokens(shape: tuple[int, ...], inputs: Sequence[tuple[int, ...]]) -> bool:
    """Whether outputs of `shape` [n, s, d] have a row for each of the s numbers that an input has."""
    return len(shape) == 3 and (shape[1],) in [tuple(one) for one in inputs]


def of_fields(values: Array, axis: int | None) -> Array:
    """[n, fields, places]."""
    if axis is None:
        return values.reshape(len(values), 1, 1)
    moved = np.moveaxis(values, axis, 1)
    return moved.reshape(*moved.shape[:2], -1)


def _per_field(values: NDArray[np.float64], axis: int | None) -> Floats:
    """The mean of a sample's elements, [f]."""
    return np.asarray(of_fields(values[None], axis)[0].mean(axis=1))
