"""Values of metrics on outputs, their intervals, and how much is lost between two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squeeze import metrics
from squeeze.errors import ConfigError
from squeeze.metrics.intervals import Interval
from squeeze.metrics.metric import Array
from squeeze.metrics.reading import Reading, without_labels
from squeeze.metrics.scorer import Beside, Scorer


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
    beside: Beside | None = None,
) -> tuple[Score, ...]:
    """One score a reading. outputs, reference: name -> [n, ...], of the model and of the teacher; without a reference
    the model is the teacher. beside: what else functions of the user's may ask for.

    Where a metric needs labels and these samples have none, the score is the one that they would get without a metric,
    and says so by its name. Raises ConfigError when metric, labels and outputs do not go together, MeasureError for an
    output with NaN or infinities, which it names.
    """
    return scores_of(_taken(readings, outputs, labels, reference, beside))


def scores_of(scorer: Scorer) -> tuple[Score, ...]:
    """Of everything that the scorer took. Raises as `scores`."""
    return tuple(Score(*found) for found in scorer.values())


def interval(
    reading: Reading,
    outputs: Mapping[str, Array],
    labels: Array | None,
    reference: Mapping[str, Array] | None,
    beside: Beside | None = None,
) -> Interval:
    """(low, high) of the value that `scores` gives for the same arguments; None where resamples have no value.

    Raises ConfigError as `scores`.
    """
    return _taken([reading], outputs, labels, reference, beside).intervals()[0]


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
    if chosen.needs == "labels" and labels is None:
        raise ConfigError(without_labels(chosen))
    given = None if reference is None else {"": reference}
    return scores([Reading("", metric)], {"": outputs}, labels, given)[0].value


def _taken(
    readings: Sequence[Reading],
    outputs: Mapping[str, Array],
    labels: Array | None,
    reference: Mapping[str, Array] | None,
    beside: Beside | None,
) -> Scorer:
    scorer = Scorer(readings, labels, reference, beside)
    scorer.take(outputs)
    return scorer
