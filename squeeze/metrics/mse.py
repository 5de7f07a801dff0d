"""The mean of squared differences."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric


def mse(outputs: Array, labels: Array) -> float:
    """In the square of the outputs' own unit; lower is better."""
    return float(np.mean(_squares(outputs, labels)))


def _squares(outputs: Array, labels: Array) -> Floats:
    """The mean of each sample, [n]."""
    away = rows(outputs) - rows(fitting("mse", outputs, labels))
    return np.asarray(np.mean(away * away, axis=1))


METRIC = Metric(
    key="mse",
    name="mean squared error",
    title="mean squared error",
    unit="",
    fn=mse,
    compares="values",
    higher_is_better=False,
    drop_in="percent",
    per_sample=_squares,
)
