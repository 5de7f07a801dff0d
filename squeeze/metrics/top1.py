"""The share of samples whose class is the label."""

from __future__ import annotations

import numpy as np

from squeeze.errors import ConfigError
from squeeze.metrics.answers import classes
from squeeze.metrics.metric import Array, Floats, Metric


def top1(outputs: Array, labels: Array) -> float:
    """In percent, of samples; of places for maps [n, c, h, w]. Labels may be one-hot."""
    return float(np.mean(_hits(outputs, labels)))


def _hits(outputs: Array, labels: Array) -> Floats:
    """100 or 0 for each sample, [n]; for maps the share of their places."""
    got, want = classes(outputs, outputs), labels
    if labels.shape == outputs.shape and outputs.ndim > 1 and outputs.shape[1] > 1:
        want = np.argmax(labels, axis=1)
    want = want.reshape(got.shape) if want.size == got.size else want
    if want.shape != got.shape:
        raise ConfigError(
            f"metric top1: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; "
            "one class per sample is needed"
        )
    return np.asarray(100 * (got == want).reshape(len(got), -1).mean(axis=1))


METRIC = Metric(
    key="top1",
    name="top-1",
    title="top-1 accuracy",
    unit="%",
    fn=top1,
    compares="classes",
    needs="labels",
    per_sample=_hits,
    share=True,
)
