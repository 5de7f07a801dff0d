"""Regression: the coefficient of determination, of several outputs that of the worst."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, blocks, share, total


def r2(outputs: Array, labels: Array) -> float:
    """In points: the least over outputs of 100 * (1 - sum((a - b)^2) / sum((b - mean(b))^2)), sums over samples.

    100 is equal, 0 as good as the mean of the labels, less is worse. An output whose labels are all the same: 100 when
    it has that value too, else 0.
    """
    return total(_SUMS, outputs, labels)


def _means(labels: Samples, given: Samples) -> Floats:
    """Of each output, [d]."""
    sums = [rows(labels[some]).sum(axis=0) for some in blocks(labels)]
    return np.asarray(np.sum(sums, axis=0) / len(labels))


def _each(outputs: Array, labels: Array, means: Floats) -> Floats:
    """Of each sample and output the squared distance to the label, then that of the label to the mean: [n, 2 * d]."""
    a, b = rows(outputs), rows(fitting("r2", outputs, labels))
    return np.concatenate([(a - b) ** 2, (b - means) ** 2], axis=1)


def _of_each_output(sums: Floats, means: Floats) -> Floats:
    missed, spread = np.split(sums, 2, axis=-1)
    return 100 * (1 - share(missed, spread))


def _value(sums: Floats, means: Floats) -> Floats:
    return np.asarray(_of_each_output(sums, means).min(axis=-1))


_SUMS = Sums(_each, _value, _means, _of_each_output)

METRIC = Metric(
    key="r2",
    name="R²",
    title="coefficient of determination (R²)",
    unit="points",
    fn=r2,
    compares="values",
    sums=_SUMS,
)
