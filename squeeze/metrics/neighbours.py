"""Embeddings: how many of the nearest neighbours of each sample are still its nearest."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import check_alike, rows
from squeeze.metrics.metric import Array, Floats, Metric

NEAREST = 10
_TIE = 0.01  # of cosine: two that are as near as that may change places
_BLOCK = 256


def neighbours(outputs: Array, reference: Array) -> float:
    """In percent: of the 10 samples nearest to each by the cosine of outputs, those that the reference has there too
    (recall at 10). Of n samples fewer than 11: of the n - 1 others; of one alone 100.

    One that is as near in the reference as the last of its 10, to 0.01 of cosine, counts as one of them.
    """
    return float(np.mean(_kept(outputs, reference)))


def points(value: float) -> float:
    """One of the ten neighbours of each sample is one point."""
    return (100 - value) / NEAREST


def _kept(outputs: Array, reference: Array) -> Floats:
    """The share of each sample, [n], in percent."""
    check_alike("neighbours", outputs, reference)
    a, b = (_directions(x) for x in (outputs, reference))
    nearest = min(NEAREST, len(a) - 1)
    if nearest < 1:
        return np.full(len(a), 100.0)
    shares = []
    for start in range(0, len(a), _BLOCK):
        mine, wanted = a[start : start + _BLOCK] @ a.T, b[start : start + _BLOCK] @ b.T
        itself = np.arange(len(mine)), np.arange(start, start + len(mine))
        mine[itself] = wanted[itself] = -np.inf
        chosen = np.argpartition(-mine, nearest - 1, axis=1)[:, :nearest]
        last = -np.partition(-wanted, nearest - 1, axis=1)[:, nearest - 1 : nearest]
        shares.append((np.take_along_axis(wanted, chosen, axis=1) >= last - _TIE).mean(axis=1))
    return np.asarray(100 * np.concatenate(shares))


def _directions(x: Array) -> Floats:
    """Rows of length 1, [n, d]; zeros stay zeros."""
    wide = rows(x)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0))


METRIC = Metric(
    key="neighbours",
    name="of the 10 nearest neighbours kept",
    title="nearest neighbours kept",
    unit="%",
    fn=neighbours,
    compares="directions",
    needs="teacher",
    points=points,
    per_sample=_kept,
)
