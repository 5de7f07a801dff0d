"""Metrics that are functions of sums over samples: outputs pass through a few samples at a time, and none are kept.

What has to be known of the wanted values as a whole (a mean, which axis has the fields, a threshold) is learnt first;
then each sample gives some numbers, and the metric is a function of their sums. So it can be resampled too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # Any: of any element type
Floats = NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 22


class Samples(Protocol):
    """Values of samples [n, ...] of which some are taken at a time: an array, a file of one, or several joined."""

    def __len__(self) -> int:
        """How many samples there are."""

    def __getitem__(self, some: slice, /) -> Array:
        """Those samples."""


def nothing_learnt(wanted: Samples, given: Samples) -> None:
    """For metrics of which every sample stands for itself."""


@dataclass(frozen=True)
class Sums:
    """learn: (the wanted values of all samples, what the float model gives) -> what the other two need to know; where
    a metric asks for the names of classes they come third.

    each: (outputs of some samples, what they should be, what was learnt) -> numbers of each sample, [k, m].
    value: (their sums over samples [..., m], what was learnt) -> [...]; NaN where there is none.
    fields: of a metric that is the one of its worst field: as `value`, of each field [..., f].
    """

    each: Callable[[Array, Array, Any], Floats]  # Any: what `learn` gives
    value: Callable[[Floats, Any], Floats]
    learn: Callable[..., Any] = nothing_learnt
    fields: Callable[[Floats, Any], Floats] | None = None


def mean_of(values: Callable[[Array, Array], Floats]) -> Sums:
    """The mean over samples of (outputs, what they should be) -> [k], a value for each of some samples."""

    def each(outputs: Array, wanted: Array, known: None) -> Floats:
        found = values(outputs, wanted)
        return np.stack([found, np.ones_like(found)], axis=1)

    def value(sums: Floats, known: None) -> Floats:
        return np.asarray(sums[..., 0] / sums[..., 1])

    return Sums(each, value)


def share(part: Floats, whole: Floats) -> Floats:
    """part / whole, element by element; where the whole is 0: 0 when the part is too, else 1."""
    constant = np.asarray(part > 0, np.float64)
    return np.asarray(np.divide(part, whole, out=constant, where=np.asarray(whole) > 0))


def total(sums: Sums, outputs: Samples, wanted: Samples) -> float:
    """The metric of all samples."""
    known = sums.learn(wanted, outputs)
    parts = [sums.each(outputs[some], wanted[some], known).sum(axis=0) for some in blocks(outputs)]
    return float(sums.value(np.sum(parts, axis=0), known))


def blocks(samples: Samples) -> Iterator[slice]:
    """Some samples at a time: all as doubles at once would take twice the memory of the outputs or more."""
    count = len(samples)
    step = max(1, _BLOCK_NUMBERS // max(1, samples[:1].size))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
