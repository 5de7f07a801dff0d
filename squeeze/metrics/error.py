"""Relative squared error: what is missed of the way in which an output differs from sample to sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric

_BLOCK_NUMBERS = 1 << 22


def error(outputs: Array, labels: Array) -> float:
    """100 * sum((a - b)^2) / sum((b - mean(b))^2) over all samples, the mean taken of each element; lower is better.

    0 % is equal, 100 % as good as that mean. Where b is the same for every sample: 0 when a is too, else 100.
    """
    missed, spread = _sums(outputs, labels)
    return float(_ratio(missed.sum(), spread.sum()))


def _resampled(outputs: Array, labels: Array, counts: NDArray[np.int64]) -> Floats:
    """The mean of each element stays that of all samples."""
    missed, spread = _sums(outputs, labels)
    return _ratio(counts @ missed, counts @ spread)


def _sums(outputs: Array, labels: Array) -> tuple[Floats, Floats]:
    """Of each sample the squared distance to the label, and that of the label to the mean: [n] each."""
    wanted = fitting("error", outputs, labels)
    # By the largest first, for squares of large values would overflow; the ratio stays.
    largest = max(_largest(outputs), _largest(wanted)) or 1.0
    mean = sum(b.sum(axis=0) for _, b in _blocks(outputs, wanted, largest)) / len(outputs)
    parts = [
        (((a - b) ** 2).sum(axis=1), ((b - mean) ** 2).sum(axis=1))
        for a, b in _blocks(outputs, wanted, largest)
    ]
    missed, spread = (np.concatenate(part) for part in zip(*parts, strict=True))
    return missed, spread


def _ratio(missed: Floats | np.float64, spread: Floats | np.float64) -> Floats:
    """In percent, element by element."""
    constant = np.asarray(missed > 0, np.float64)
    return np.asarray(100 * np.divide(missed, spread, out=constant, where=np.asarray(spread) > 0))


def _blocks(outputs: Array, wanted: Array, largest: float) -> Iterator[tuple[Floats, Floats]]:
    """Some samples at a time as doubles [k, d]: all at once would take twice the memory of the outputs or more."""
    step = max(1, _BLOCK_NUMBERS * len(outputs) // max(1, outputs.size))
    for start in range(0, len(outputs), step):
        a, b = (rows(x[start : start + step]) / largest for x in (outputs, wanted))
        yield a, b


def _largest(x: Array) -> float:
    """The largest size of any value."""
    return max(abs(float(x.min())), abs(float(x.max()))) if x.size else 0.0


METRIC = Metric(
    key="error",
    name="relative error",
    title="relative error",
    unit="%",
    fn=error,
    compares="values",
    higher_is_better=False,
    resampled=_resampled,
)
