"""Relative squared error of the worst field: a channel, a coordinate, the score of a class.

Over everything at once large fields hide small ones: a detector whose scores are all 0 has boxes in pixels beside them,
and misses one part in a million.
"""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import fitting
from squeeze.metrics.fields import Fields, axis_of, learn, of_fields
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Sums, share, total


def channel_error(outputs: Array, labels: Array) -> float:
    """max over fields of 100 * mean((a - b)^2) / max(mean((b - mean(b))^2), least); lower is better.

    Means are over samples and places, mean(b) is that of each element over samples. `fields.learn` says which axis
    has the fields, and what the least is. Where b is the same everywhere: 0 when a is too, else 100.
    """
    return total(_SUMS, outputs, labels)


def points(value: float) -> float:
    """Two percent of the worst field are one point: a signal 17 dB above its error."""
    return value / 2


def squares(outputs: Array, labels: Array, known: Fields) -> Floats:
    """Of each sample: the squared distance to the label for each field, then that of the label to the mean."""
    wanted = np.asarray(fitting("channel_error", outputs, labels), np.float64)
    mean = known.mean.reshape(wanted.shape[1:])
    missed = of_fields((outputs - wanted) ** 2, known.axis).mean(axis=2)
    spread = of_fields((wanted - mean) ** 2, known.axis).mean(axis=2)
    ones = np.ones((len(wanted), 1))
    return np.concatenate([missed, spread, ones], axis=1)


def of_each(sums: Floats, known: Fields) -> Floats:
    """Of each field: sums [..., 2 * f + 1] of samples -> [..., f] in percent."""
    fields = len(known.least)
    missed, spread, count = sums[..., :fields], sums[..., fields:-1], sums[..., -1:]
    held_to = np.maximum(spread, known.least * count)
    return 100 * share(missed, held_to)


def worst(sums: Floats, known: Fields) -> Floats:
    """Of all fields."""
    return np.asarray(of_each(sums, known).max(axis=-1))


_SUMS = Sums(squares, worst, lambda wanted, given: learn(wanted, axis_of(wanted)), of_each)

METRIC = Metric(
    key="channel_error",
    name="squared error of the worst channel",
    title="relative squared error of the worst channel",
    unit="%",
    fn=channel_error,
    compares="values",
    higher_is_better=False,
    points=points,
    sums=_SUMS,
)
