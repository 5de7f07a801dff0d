"""Whether outputs say anything of the labels: how they score beside chance, and beside the best constant answer.

The skill of a forecast (Murphy, 1988) is the share of the way from a reference to perfect that it goes,
(score - reference) / (perfect - reference). Reference here is chance: the same outputs, each for another sample (a
permutation test; Ojala and Garriga, 2010), which needs no word on what a metric measures or how labels are spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from squeeze import metrics
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.reading import Reading
from squeeze.metrics.scorer import Beside
from squeeze.metrics.scoring import scores

SAMPLES = 200
_MOST_BYTES = 1 << 26  # of outputs that are permuted
_FEWEST = 16
_DRAWS = 20
_DEVIATIONS = 3.0
_SKILL = 0.1
_ENOUGH = 20  # samples of which something is beyond doubt
_ROUNDING = 1e-6
_FITS = 0.8  # of the variance
_OF_A_SCALE = ("%", "points")


@dataclass(frozen=True)
class BesideChance:
    """A score, and what outputs give that say nothing of the sample: mean and standard deviation over permutations."""

    metric: str
    value: float
    chance: float
    deviation: float
    samples: int

    @property
    def skill(self) -> float | None:
        """Share of the way from chance to perfect; None of a metric without an end, and where chance is perfect."""
        best = _perfect(metrics.resolve(self.metric))
        if best is None or best == self.chance:
            return None
        return (self.value - self.chance) / (best - self.chance)

    @property
    def is_significant(self) -> bool:
        """Whether the value is further from chance than permutations scatter."""
        ahead = self.value - self.chance
        if not metrics.resolve(self.metric).higher_is_better:
            ahead = -ahead
        return ahead > _DEVIATIONS * self.deviation

    @property
    def works(self) -> bool:
        """Whether outputs say something of the labels: they are perfect, go a good part of the way there, or are better
        than chance beyond doubt. A weak teacher works, and of few samples nothing is beyond doubt."""
        metric = metrics.resolve(self.metric)
        if self.value == _perfect(metric) or self.is_significant:
            return True
        if self.skill is None:
            return self.samples < _ENOUGH
        return self.skill >= _SKILL


def beside_chance(
    reading: Reading,
    outputs: Mapping[str, Array],
    labels: Array,
    class_names: Sequence[str] = (),
) -> BesideChance:
    """Of at most 200 of the samples. outputs: name -> [n, ...]; labels: [n, ...]. Raises as `scores`."""
    rng = np.random.default_rng(0)
    count = len(labels)
    each = max(1, sum(int(outputs[name][:1].nbytes) for name in reading.names))
    most = min(SAMPLES, max(_FEWEST, _MOST_BYTES // each))
    chosen = _chosen(labels, rng.permutation(count)[:most], reading)
    some = {name: np.asarray(outputs[name][chosen]) for name in reading.names}
    wanted = labels[chosen]

    def value(order: Array) -> float:
        moved = {name: values[order] for name, values in some.items()}
        return scores([reading], moved, wanted, None, beside)[0].value

    beside = Beside(dict, class_names=class_names)
    here = np.arange(len(chosen))
    by_chance = [value(rng.permutation(here)) for _ in range(_DRAWS)]
    mean, deviation = float(np.mean(by_chance)), float(np.std(by_chance))
    return BesideChance(reading.metric, value(here), mean, deviation, len(chosen))


def _chosen(labels: Array, drawn: Array, reading: Reading) -> Array:
    """What was drawn, in order; of pairs as many whole ones."""
    if metrics.resolve(reading.metric).labels != "pairs":
        return np.sort(drawn)
    numbers = np.unique(labels[:, 0])
    every = max(1, len(numbers) // max(1, len(drawn) // 2))
    return np.flatnonzero(np.isin(labels[:, 0], numbers[::every]))


def constant_answer(metric: str, labels: Array) -> float | None:
    """What the best answer that is the same for every sample scores; None where nobody knows it.

    labels: classes [n] (or of places), or numbers [n] or [n, 1].
    """
    if metric == "top1" and labels.ndim != 2:
        return float(100 * np.unique(labels, return_counts=True)[1].max() / labels.size)
    if metric in ("r2", "mse") and labels.size == len(labels):
        return 0.0 if metric == "r2" else float(np.var(labels.astype(np.float64)))
    return None


def no_better(metric: str, value: float, constant: float) -> bool:
    """Whether `value` is no better than that of a constant answer."""
    return value <= constant if metrics.resolve(metric).higher_is_better else value >= constant


def nearly_constant(outputs: Array) -> bool:
    """Whether each number of [n, ...] is the same for every sample, but for what float32 rounds. Of one sample nothing
    is known."""
    if len(outputs) < 2:
        return False
    some = np.asarray(outputs[:SAMPLES]).astype(np.float64)
    away = np.abs(some - some[0]).max(axis=0)
    return bool((away <= _ROUNDING * np.abs(some).max(axis=0)).all())


def straight(outputs: Array, labels: Array) -> tuple[float, float] | None:
    """(a, b) with labels nearly a * outputs + b, both [n]; None where no line fits them well."""
    x, y = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (outputs, labels))
    if x.shape[1] != 1 or y.shape[1] != 1 or len(x) < _ENOUGH or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    if np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2 < _FITS:
        return None
    a, b = np.polyfit(x[:, 0], y[:, 0], 1)
    return float(a), float(b)


def _perfect(metric: Metric) -> float | None:
    if not metric.higher_is_better:
        return 0.0
    return 100.0 if metric.unit in _OF_A_SCALE else None
