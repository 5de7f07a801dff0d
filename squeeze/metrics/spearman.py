"""Rank correlation with shared ties: of one output over samples, of several within each sample, averaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric


def spearman(outputs: Array, labels: Array) -> float:
    """In points; of two constants 100, of a constant and anything else 0."""
    a, b = rows(outputs), rows(fitting("spearman", outputs, labels))
    if a.shape[1] == 1:
        a, b = a.T, b.T
    return float(np.mean(_correlations(a, b)))


def _correlations(a: Floats, b: Floats) -> Floats:
    """Of the ranks in each row, [rows]."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    a, b = (rankdata(x, axis=1) for x in (a, b))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    spread = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    both_constant = ~a.any(axis=1) & ~b.any(axis=1)
    found = np.divide((a * b).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 0)
    return np.asarray(100 * np.where(both_constant, 1.0, found))


def resampled(outputs: Array, labels: Array, counts: NDArray[np.int64]) -> Floats:
    """As `spearman`, with counts [b, n] of how often each sample is drawn, [b]."""
    a, b = rows(outputs), rows(fitting("spearman", outputs, labels))
    if a.shape[1] > 1:
        return np.asarray(counts @ _correlations(a, b) / len(a))
    x, y = (_drawn_ranks(values[:, 0], counts) for values in (a, b))
    x, y = (r - (counts * r).sum(axis=1, keepdims=True) / len(a) for r in (x, y))
    spread = np.sqrt((counts * x * x).sum(axis=1) * (counts * y * y).sum(axis=1))
    covered = (counts * x * y).sum(axis=1)
    found = np.divide(covered, spread, out=np.full(len(counts), np.nan), where=spread > 0)
    return np.asarray(100 * found)


def _drawn_ranks(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """The rank of each of `values` [n] among the samples that were drawn, [b, n]."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order], prepend=np.nan) != 0)  # of each run of ties
    drawn = np.add.reduceat(counts[:, order], begins, axis=1)
    shared = np.cumsum(drawn, axis=1) - (drawn - 1) / 2
    ranks = np.empty(counts.shape)
    ranks[:, order] = np.repeat(shared, np.diff(begins, append=len(values)), axis=1)
    return ranks


METRIC = Metric(
    key="spearman",
    name="rank correlation",
    title="rank correlation",
    unit="points",
    fn=spearman,
    compares="directions",
    resampled=resampled,
)
