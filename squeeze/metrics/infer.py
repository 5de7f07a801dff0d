"""Which metric is meant where nobody names one: from the labels, or from what the teacher's outputs look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squeeze.metrics.answers import floats, one_hot, whole
from squeeze.metrics.kinds import Kind, kind_of
from squeeze.metrics.metric import Array

# What each kind of output is judged by without labels; the first is taken where there can be but one.
OF_KIND: dict[Kind, tuple[str, ...]] = {
    "answers": ("agreement",),
    "areas": ("miou",),
    "audio": ("si_sdr",),
    "boxes": ("f1_boxes",),
    "classes": ("agreement",),
    "embedding": ("cosine", "neighbours"),
    "features": ("feature_error",),
    "number": ("error",),
    "reconstruction": ("error",),
    "same-class": ("error",),
    "text": ("edit_distance",),
    "values": ("channel_error",),
    "yes-no": ("channel_error",),
}


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


def unlabelled_metrics(
    outputs: Array, name: str = "", inputs: Sequence[tuple[int, ...]] = ()
) -> tuple[str, ...]:
    """Without labels, from the teacher's outputs [n, ...] and what `kind_of` is told beside them; never empty."""
    return OF_KIND[kind_of(outputs, name, inputs)]


def unlabelled_metric(outputs: Array) -> str:
    """The first of `unlabelled_metrics`."""
    return unlabelled_metrics(outputs)[0]
