"""The mean of squared differences."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import mean_of, total


def mse(outputs: Array, labels: Array) -> float:
    """In the square of the outputs' own unit; lower is better."""
    return total(_SUMS, outputs, labels)


def _squares(outputs: Array, labels: Array) -> Floats:
    """The mean of each sample, [n]."""
    away = rows(outputs) - rows(fitting("mse", outputs, labels))
    return np.asarray(np.mean(away * away, axis=1))


_SUMS = mean_of(_squares)

METRIC = Metric(
    key="mse",
    name="mean squared error",
    title="mean squared error",
    unit="",
    fn=mse,
    compares="values",
    higher_is_better=False,
    drop_in="percent",
    sums=_SUMS,
)
