"""Relative squared error: what is missed of the way in which an output differs from sample to sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.fields import OF_ITS_SIZE
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, blocks, share, total


def error(outputs: Array, labels: Array) -> float:
    """100 * sum((a - b)^2) / sum((b - mean(b))^2) over all samples, the mean taken of each element; lower is better.

    0 % is equal, 100 % as good as that mean. What hardly differs from sample to sample is held to a hundredth of
    sum(b^2) instead, as the fields of `channel_error` are: an error of a tenth of its size is 100 %. Where all of b is
    0: 0 when a is too, else 100.
    """
    return total(_SUMS, outputs, labels)


@dataclass(frozen=True)
class _Known:
    """largest: the size of any wanted value, by which all are divided; mean: [d], of each element after that."""

    largest: float
    mean: Floats


def _learn(wanted: Samples, given: Samples) -> _Known:
    # By the largest first, for squares of large values would overflow; the ratio stays.
    largest = max(_largest(wanted[some]) for some in blocks(wanted)) or 1.0
    sums = [(rows(wanted[some]) / largest).sum(axis=0) for some in blocks(wanted)]
    return _Known(largest, np.asarray(np.sum(sums, axis=0) / len(wanted)))


def _each(outputs: Array, labels: Array, known: _Known) -> Floats:
    """Of each sample the squared distance to the label, that of the label to the mean, and to 0: [n, 3]."""
    a, b = (rows(x) / known.largest for x in (outputs, fitting("error", outputs, labels)))
    squares = ((a - b) ** 2, (b - known.mean) ** 2, b**2)
    return np.stack([s.sum(axis=1) for s in squares], axis=1)


def _value(sums: Floats, known: _Known) -> Floats:
    """The mean of each element stays that of all samples."""
    return 100 * share(sums[..., 0], np.maximum(sums[..., 1], OF_ITS_SIZE**2 * sums[..., 2]))


def _largest(x: Array) -> float:
    """The largest size of any value."""
    return max(abs(float(x.min())), abs(float(x.max()))) if x.size else 0.0


_SUMS = Sums(_each, _value, _learn)

METRIC = Metric(
    key="error",
    name="relative squared error",
    title="relative squared error",
    unit="%",
    fn=error,
    compares="values",
    higher_is_better=False,
    sums=_SUMS,
)
