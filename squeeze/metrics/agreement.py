"""The share of samples for which model and teacher choose the same class; of integer outputs, of equal values."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import check_alike, classes, whole
from squeeze.metrics.metric import Array, Floats, Metric


def agreement(outputs: Array, reference: Array) -> float:
    """In percent."""
    return float(np.mean(_hits(outputs, reference)))


def _hits(outputs: Array, reference: Array) -> Floats:
    """100 or 0 for each sample, [n]; where a sample has several answers their share."""
    check_alike("agreement", outputs, reference)
    if whole(outputs) and whole(reference):
        same = outputs == reference
    else:
        same = classes(outputs, reference) == classes(reference, reference)
    return np.asarray(100 * same.reshape(len(same), -1).mean(axis=1))


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
