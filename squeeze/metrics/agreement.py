"""The share of samples for which model and teacher choose the same class; of integer outputs, of equal values.

A choice that the teacher itself has not made is none that can be lost: where it scores the chosen class as high as its
own but for a near tie, both are the same. A near tie is 0.05 in logits or less (one class is then called up to 5 %
likelier than the other), and a fifth or less of what scores vary by from sample to sample, for outputs whose whole
range is small. Rounding to 8 bits moves the scores of any network by about that much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.answers import check_alike, classes, floats, probabilities, whole
from squeeze.metrics.metric import Array, Floats, Metric

TIE = 0.05  # of logits
TIE_SHARE = 0.2  # of the mean deviation of a class's logits over samples
_LEAST = 1e-12  # probabilities below that have the logarithm of this


def agreement(outputs: Array, reference: Array) -> float:
    """In percent."""
    return float(np.mean(_hits(outputs, reference)))


def _hits(outputs: Array, reference: Array) -> Floats:
    """100 or 0 for each sample, [n]; where a sample has several answers their share."""
    check_alike("agreement", outputs, reference)
    if whole(outputs) and whole(reference):
        same = outputs == reference
    else:
        chosen = classes(outputs, reference)
        same = chosen == classes(reference, reference)
        if not whole(reference):
            same = same | _tied(chosen, reference)
    return np.asarray(100 * same.reshape(len(same), -1).mean(axis=1))


def _tied(chosen: NDArray[np.int64], reference: Array) -> NDArray[np.bool_]:
    """Whether the reference [n, c, ...] scores the chosen class [n, ...] as its own best, but for a near tie."""
    scores = _logits(reference)
    most = min(TIE, TIE_SHARE * float(scores.std(axis=0).mean()))
    if scores.ndim > 1 and scores.shape[1] > 1:
        taken = np.take_along_axis(scores, chosen[:, None], axis=1)[:, 0]
        return np.asarray(scores.max(axis=1) - taken <= most)
    return np.asarray(np.abs(scores.reshape(chosen.shape)) <= most)


def _logits(reference: Array) -> Floats:
    """Scores of which a difference is the logarithm of how much likelier one class is."""
    x = floats(reference)
    if x.ndim > 1 and x.shape[1] > 1:
        return np.log(np.maximum(x, _LEAST)) if probabilities(x, rows=True) else x
    if not probabilities(x):
        return x
    inside = np.clip(x, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


METRIC = Metric(
    key="agreement",
    name="teacher agreement",
    title="agreement with the teacher",
    unit="%",
    fn=agreement,
    compares="classes",
    needs="teacher",
    per_sample=_hits,
    share=True,
)
