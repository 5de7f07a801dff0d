"""The mean cosine between the vectors of each sample."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import mean_of, total


def cosine(outputs: Array, labels: Array) -> float:
    """In points."""
    return total(_SUMS, outputs, labels)


def _cosines(outputs: Array, labels: Array) -> Floats:
    """Of each sample, [n]; 0 where one vector is zero, 100 where both are."""
    a, b = rows(outputs), rows(fitting("cosine", outputs, labels))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    found = np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0)
    return np.asarray(100 * np.where(both_zero, 1.0, found))


_SUMS = mean_of(_cosines)

METRIC = Metric(
    key="cosine",
    name="cosine similarity",
    title="cosine similarity",
    unit="points",
    fn=cosine,
    compares="directions",
    sums=_SUMS,
)
