"""Relative squared error of the worst feature of a token: `channel_error` where the last axis has the fields.

For outputs [n, tokens, features]. Tokens are places: by `channel_error` the shorter axis would have the fields, and the
first token of short texts, whose error is its own, would stand for all.
"""

from __future__ import annotations

from squeeze.metrics.channel_error import of_each, points, squares, worst
from squeeze.metrics.fields import Fields, learn
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.sums import Samples, Sums, total


def feature_error(outputs: Array, labels: Array) -> float:
    """As `channel_error`, for each number of the last axis; lower is better."""
    return total(_SUMS, outputs, labels)


def _learn(wanted: Samples, given: Samples) -> Fields:
    return learn(wanted, wanted[:1].ndim - 1 or None)


_SUMS = Sums(squares, worst, _learn, of_each)

METRIC = Metric(
    key="feature_error",
    name="squared error of the worst feature",
    title="relative squared error of the worst feature of a token",
    unit="%",
    fn=feature_error,
    compares="values",
    higher_is_better=False,
    points=points,
    sums=_SUMS,
)
