"""The area under the ROC curve, from ranks with ties shared (Hanley & McNeil 1982)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.answers import floats, probabilities, rows
from squeeze.metrics.metric import Array, Floats, Metric

_BLOCK = 64  # resamples at a time

Bools = NDArray[np.bool_]


def auc(outputs: Array, labels: Array) -> float:
    """In points. More than two classes: the mean of each against the rest; labels of the outputs' shape: the mean over
    outputs. Classes that do not occur, or alone, are left out."""
    scores, positive = _columns(outputs, labels)
    areas = [
        area(scores[:, k], positive[:, k])
        for k in range(scores.shape[1])
        if 0 < positive[:, k].sum() < len(scores)
    ]
    if not areas:
        raise ConfigError("metric auc: the samples are of one class only; it needs samples of two")
    return 100 * float(np.mean(areas))


def area(scores: Floats, positive: Bools) -> float:
    """The share of (positive, negative) pairs in which the positive scores higher, ties counting half. [n] each."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    positives = int(positive.sum())
    negatives = len(positive) - positives
    above = rankdata(scores)[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _resampled(outputs: Array, labels: Array, counts: NDArray[np.int64]) -> Floats:
    scores, positive = _columns(outputs, labels)
    found = np.full((len(counts), scores.shape[1]), np.nan)
    for k in range(scores.shape[1]):
        for start in range(0, len(counts), _BLOCK):
            some = slice(start, start + _BLOCK)
            found[some, k] = _areas(scores[:, k], positive[:, k], counts[some])
    known = (~np.isnan(found)).sum(axis=1)
    total = np.nansum(found, axis=1)
    return np.asarray(
        100 * np.divide(total, known, out=np.full(len(counts), np.nan), where=known > 0)
    )


def _areas(scores: Floats, positive: Bools, counts: NDArray[np.int64]) -> Floats:
    """`area` for each row of counts [b, n]; NaN where one of the two classes was not drawn."""
    order = np.argsort(scores, kind="stable")
    begins = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)  # of each run of ties
    drawn = counts[:, order]
    ups = np.add.reduceat(drawn * positive[order], begins, axis=1)
    downs = np.add.reduceat(drawn * ~positive[order], begins, axis=1)
    below = np.cumsum(downs, axis=1) - downs / 2
    pairs = ups.sum(axis=1) * downs.sum(axis=1)
    won = (ups * below).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))


def _columns(outputs: Array, labels: Array) -> tuple[Floats, Bools]:
    """Scores and whether they should be high, [n, k] each: one column for each question that is asked."""
    scores = rows(outputs)
    classes = scores.shape[1]
    if labels.shape == outputs.shape and classes > 1:
        return scores, floats(labels).reshape(scores.shape) > 0.5
    if labels.size != len(outputs):
        raise ConfigError(
            f"metric auc: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}"
        )
    named = labels.reshape(-1)
    if classes > 2:
        scores = scores if probabilities(scores, rows=True) else _softmax(scores)
        return scores, np.asarray(named[:, None] == np.arange(classes))
    if not np.isin(named, (0, 1)).all():
        raise ConfigError(
            f"metric auc: {classes} output(s) tell two classes apart, labels must be 0 or 1"
        )
    # The difference of two logits ranks as the softmax of the second does, without saturating.
    scores = scores if classes == 1 else scores[:, 1:] - scores[:, :1]
    return scores, np.asarray(named == 1)[:, None]


def _softmax(logits: Floats) -> Floats:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


METRIC = Metric(
    key="auc",
    name="ROC AUC",
    title="area under the ROC curve",
    unit="points",
    fn=auc,
    compares="classes",
    needs="labels",
    many=True,
    pairs=True,
    resampled=_resampled,
)
