"""Which metric is meant where nobody names one: from the labels, or from what the teacher's outputs look like."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import floats, one_hot, probabilities, unit_vectors, whole
from squeeze.metrics.metric import Array


def labelled_metric(labels: Array, outputs: Array) -> str:
    """For labels, with the teacher's outputs [n, ...] on some samples.

    Classes -> top1; several labels per sample -> auc; numbers -> mse.
    """
    width = outputs[:1].size
    if not (whole(labels) or bool(np.all(labels == np.round(floats(labels))))):
        return "mse"
    if labels.shape == outputs.shape and width > 1 and not whole(outputs):
        if not np.isin(labels, (0, 1)).all():
            return "mse"
        return "top1" if one_hot(labels) else "auc"
    is_class = width > 1 or whole(outputs) or bool(np.isin(labels, (0, 1)).all())
    return "top1" if is_class else "mse"


def unlabelled_metric(outputs: Array) -> str:
    """Without labels, from the teacher's outputs [n, ...] alone.

    agreement: integers, scores of two classes or more, one probability a sample. error: everything else, such as maps,
    unit vectors, one number without bounds.
    """
    if whole(outputs):
        return "agreement"
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return "error" if unit_vectors(outputs) else "agreement"
    one = outputs[:1].size == 1 and outputs.ndim <= 2
    return "agreement" if one and probabilities(outputs) else "error"
