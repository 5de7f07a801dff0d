"""Scores outputs as they come, a batch at a time: of what can be summed nothing is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeeze import metrics
from squeeze.errors import ConfigError, MeasureError
from squeeze.metrics.infer import unlabelled_metric
from squeeze.metrics.intervals import Interval, of_calls, of_records, of_sums, of_values
from squeeze.metrics.joined import joined
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.reading import Reading
from squeeze.metrics.records import once
from squeeze.metrics.sums import Samples, Sums, blocks

Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Beside:
    """What a metric may ask for beside outputs and labels: the inputs of the samples, name -> [n, ...], read only when
    they are asked for, the number of the group that each belongs to, [n], and the names of the classes 0, 1, ..."""

    inputs: Callable[[], Mapping[str, Array]]
    groups: Array | None = None
    class_names: Sequence[str] = ()


class Scorer:
    """Takes the outputs of samples in order, and says how they score by each reading.

    labels and reference are of all samples, as for `scores`; files of arrays do.
    """

    def __init__(
        self,
        readings: Sequence[Reading],
        labels: Array | None,
        reference: Outputs | None,
        beside: Beside | None = None,
    ) -> None:
        self._tallies = [_Tally(reading, labels, reference, beside) for reading in readings]

    def again(self) -> Scorer:
        """One that took nothing yet, with the same readings; what this learnt of the wanted values it knows."""
        other = Scorer((), None, None)
        other._tallies = [tally.again() for tally in self._tallies]
        return other

    def take(self, outputs: Outputs) -> None:
        """The next samples. Raises ConfigError when they do not go together with what is wanted."""
        for tally in self._tallies:
            tally.take(outputs)

    def values(self) -> list[tuple[str, str, float]]:
        """Output, metric and value of each reading. Raises ConfigError when there were none, or not as many as labels;
        MeasureError for an output with NaN or infinities."""
        settled = [tally.settled() for tally in self._tallies]
        return [(t.reading.output, t.metric.key, t.value()) for t in settled]

    def intervals(self) -> list[Interval]:
        """The 95 % interval of each value. Raises as `values`."""
        return [tally.settled().interval() for tally in self._tallies]


class _Tally:
    """What was taken for one reading: a few numbers of each sample where they say all, else the outputs."""

    def __init__(
        self,
        reading: Reading,
        labels: Array | None,
        reference: Outputs | None,
        beside: Beside | None,
    ) -> None:
        self.reading, self.metric, self.beside = reading, metrics.resolve(reading.metric), beside
        if labels is None and self.metric.needs == "labels" and reference is not None:
            self.reading = Reading(reading.output, unlabelled_metric(reference[reading.output]))
            self.metric = metrics.resolve(self.reading.metric)
        self.wanted = self._wanted(labels, reference)
        self.samples = self.broken = 0
        self.found: list[
            Any
        ] = []  # Any: numbers of some samples [k, m], or records of the metric's own
        self.parts: list[Outputs] = []
        self.way = None if self.wanted is None else self.metric.sums or self.metric.records
        # Any: what the metric has to know is its own.
        self.known: Any = None
        self.learnt = False
        if reference is not None and self.way is not None:
            self._learn(joined(self.reading, reference))

    def _learn(self, given: Samples) -> None:
        """given: what the float model gives; without a reference the first outputs, for then they are its own."""
        if self.way is not None and not self.learnt and len(self.wanted):
            names = () if self.beside is None else self.beside.class_names
            also = (names,) if "class_names" in self.metric.asks else ()
            self.known, self.learnt = self.way.learn(self.wanted, given, *also), True

    def _wanted(self, labels: Array | None, reference: Outputs | None) -> Any:  # Any: see `joined`
        """What outputs are compared with; None where that is themselves."""
        if labels is not None and self.metric.needs != "teacher":
            return labels
        if reference is None:
            return None
        return reference if self.metric.takes_all else joined(self.reading, reference)

    def again(self) -> _Tally:
        """Nothing taken, all known."""
        other = copy(self)
        other.samples = other.broken = 0
        other.found, other.parts = [], []
        return other

    def take(self, outputs: Outputs) -> None:
        """The next samples."""
        got = {name: outputs[name] for name in self.reading.names}
        count = len(got[self.reading.output])
        if not self.metric.takes_all:
            self.broken += sum(_broken(x) for x in got.values())
        if self.way is None:
            self.parts.append(got)
        elif not self.broken:
            self._learn(joined(self.reading, got))
            self._reduce(joined(self.reading, got))
        self.samples += count

    def _reduce(self, outputs: Samples) -> None:
        assert self.way is not None
        assert self.wanted is not None
        for some in blocks(outputs):
            part, start = outputs[some], self.samples + some.start
            wanted = self.wanted[start : start + len(part)]
            if len(wanted) == len(part):  # else `check` refuses all
                self.found.append(self.way.each(part, wanted, self.known))

    def settled(self) -> _Tally:
        """This, when it can be scored; what the teacher gave is compared with itself. Raises as `Scorer.values`."""
        self._check()
        if self.wanted is not None:
            return self
        outputs = self._kept()
        found = _Tally(self.reading, None, outputs, self.beside)
        found.take(outputs)
        return found

    def _check(self) -> None:
        key = self.metric.key
        if self.samples == 0:
            raise ConfigError(f"metric {key}: there are no samples")
        if self.broken:
            named = " and ".join(f"'{name}'" for name in self.reading.names)
            raise MeasureError(
                f"output {named}: values of {self.broken} of {self.samples} samples are not finite"
            )
        wanted = self.samples if self.wanted is None else _count(self.wanted)
        if wanted != self.samples:
            raise ConfigError(
                f"metric {key}: {self.samples} outputs but {wanted} labels; they must be as many"
            )

    def value(self) -> float:
        """Of everything that was taken, when it is settled."""
        if isinstance(self.way, Sums):
            return float(self.way.value(np.concatenate(self.found).sum(axis=0), self.known))
        if self.way is not None:
            return once(self.way, [record for part in self.found for record in part])
        return _called(self.metric, self._outputs(), self.wanted, self._asked())

    def interval(self) -> Interval:
        """Of `value`."""
        if isinstance(self.way, Sums):
            return of_sums(self.way, np.concatenate(self.found), self.known)
        if self.way is not None:
            return of_records(self.way, [record for part in self.found for record in part])
        outputs = self._outputs()
        if self.metric.per_sample is not None or self.metric.resampled is not None:
            return of_values(self.metric, outputs, self.wanted)
        given = (outputs, self.wanted, self._asked())
        return of_calls(
            lambda drawn: _called(self.metric, *(_drawn(x, drawn) for x in given)), self.samples
        )

    def _kept(self) -> Outputs:
        if len(self.parts) > 1:
            whole = {n: np.concatenate([p[n] for p in self.parts]) for n in self.reading.names}
            self.parts = [whole]
        return self.parts[0]

    def _outputs(self) -> Any:  # Any: see `joined`
        outputs = self._kept()
        return outputs if self.metric.takes_all else joined(self.reading, outputs)

    def _asked(self) -> dict[str, Any]:  # Any: arrays, alone or by name
        """What the metric is given by name, where it is known."""
        if self.beside is None:
            return {}
        asked: dict[str, Any] = {}  # Any: arrays, alone or by name
        if "inputs" in self.metric.asks:
            asked["inputs"] = self.beside.inputs()
        if "groups" in self.metric.asks:
            asked["groups"] = self.beside.groups
        return asked


def _called(metric: Metric, outputs: Any, wanted: Any, asked: dict[str, Any]) -> float:
    """The metric's value. Raises ConfigError when the user's function fails or gives no finite number."""
    if metric.compares != "anything":
        return float(metric.fn(outputs, wanted))
    try:
        value = float(metric.fn(outputs, wanted, **asked))
    # A user's function may fail in any way.
    except (Exception, SystemExit) as e:
        raise ConfigError(f"metric {metric.key}: failed: {type(e).__name__}: {e}") from e
    if not math.isfinite(value):
        raise ConfigError(f"metric {metric.key}: gave {value}, allowed: a finite number")
    return value


def _drawn(given: Any, drawn: Array) -> Any:  # Any: an array, several by name, or None
    """The samples that were drawn."""
    if isinstance(given, Mapping):
        return {name: _drawn(values, drawn) for name, values in given.items()}
    return None if given is None else given[drawn]


def _count(samples: Any) -> int:  # Any: an array, samples of several outputs, or arrays by name
    return len(next(iter(samples.values()))) if isinstance(samples, Mapping) else len(samples)


def _broken(outputs: Array) -> int:
    """How many samples have numbers that are not finite."""
    bad = 0
    for some in blocks(outputs):
        part = outputs[some]
        bad += int((~np.isfinite(part)).reshape(len(part), -1).any(axis=1).sum())
    return bad
