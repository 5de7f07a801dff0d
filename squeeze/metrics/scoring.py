"""Values of metrics on outputs, and how much is lost between two models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from squeeze import metrics
from squeeze.errors import ConfigError, MeasureError
from squeeze.metrics.infer import unlabelled_metric
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.reading import Reading, without_labels


@dataclass(frozen=True)
class Score:
    """The value of a metric, read off an output."""

    output: str
    metric: str
    value: float


def scores(
    readings: Sequence[Reading],
    outputs: Mapping[str, Array],
    labels: Array | None,
    reference: Mapping[str, Array] | None,
) -> tuple[Score, ...]:
    """One score a reading. outputs, reference: name -> [n, ...], of the model and of the teacher; without a reference
    the model is the teacher.

    Where a metric needs labels and these samples have none, the score is the one that they would get without a metric,
    and says so by its name. Raises ConfigError when metric, labels and outputs do not go together, MeasureError for an
    output with NaN or infinities, which it names.
    """
    found = []
    for reading in readings:
        teacher = None if reference is None else reference[reading.output]
        got = outputs[reading.output]
        check_finite(reading.output, got)
        metric = judged_by(reading, labels, got, teacher).metric
        found.append(Score(reading.output, metric, score(metric, got, labels, teacher)))
    return tuple(found)


def drops(teacher: Sequence[Score], student: Sequence[Score]) -> tuple[float, ...]:
    """What is lost by each score, in points (`Metric.drop`); the worst is `max` of them. Both of the same readings."""
    return tuple(
        metrics.resolve(a.metric).drop(a.value, b.value)
        for a, b in zip(teacher, student, strict=True)
    )


def score(
    metric: str, outputs: Array, labels: Array | None, reference: Array | None = None
) -> float:
    """The metric of `outputs` against the labels, or against `reference` (the teacher's outputs).

    Without either the model is the teacher, and is compared with itself. Raises ConfigError when the metric
    needs labels and there are none, when shapes do not fit, or when the user's function fails.
    """
    chosen = metrics.resolve(metric)
    return value_of(chosen, outputs, truth(chosen, outputs, labels, reference))


def truth(metric: Metric, outputs: Array, labels: Array | None, reference: Array | None) -> Array:
    """What outputs [n, ...] are compared with: labels, the teacher's outputs, or themselves. Raises ConfigError."""
    if len(outputs) == 0:
        raise ConfigError(f"metric {metric.key}: there are no samples")
    if metric.needs == "labels" and labels is None:
        raise ConfigError(without_labels(metric))
    found = reference if metric.needs == "teacher" or labels is None else labels
    found = outputs if found is None else found
    if len(found) != len(outputs):
        raise ConfigError(
            f"metric {metric.key}: {len(outputs)} outputs but {len(found)} labels; they must be as many"
        )
    return found


def value_of(metric: Metric, outputs: Array, wanted: Array) -> float:
    """The metric's value. Raises ConfigError when the user's function fails or gives no finite number."""
    if metric.compares != "anything":
        return metric.fn(outputs, wanted)
    try:
        value = float(metric.fn(outputs, wanted))
    # A user's function may fail in any way.
    except (Exception, SystemExit) as e:
        raise ConfigError(f"metric {metric.key}: failed: {type(e).__name__}: {e}") from e
    if not math.isfinite(value):
        raise ConfigError(f"metric {metric.key}: gave {value}, allowed: a finite number")
    return value


def judged_by(
    reading: Reading, labels: Array | None, outputs: Array, teacher: Array | None
) -> Reading:
    """The reading itself, or without the labels that it needs the one that compares with the teacher."""
    if labels is not None or metrics.resolve(reading.metric).needs != "labels":
        return reading
    return replace(reading, metric=unlabelled_metric(outputs if teacher is None else teacher))


def check_finite(name: str, outputs: Array) -> None:
    """MeasureError, with the output's name, unless all its numbers are finite."""
    finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    if not finite.all():
        raise MeasureError(
            f"output '{name}': values of {int((~finite).sum())} of {len(outputs)} samples are not finite"
        )
