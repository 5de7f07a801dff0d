"""What is read off which output: one reading for labels, without labels one for each output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeeze import metrics
from squeeze.errors import ConfigError, unknown
from squeeze.interface import Interface, TensorSpec
from squeeze.metrics.boxes import form_of
from squeeze.metrics.infer import labelled_metric, unlabelled_metrics
from squeeze.metrics.joined import joined
from squeeze.metrics.kinds import is_detector
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.own import text_digest

_BOXES = "f1_boxes"  # of a pair that nobody named a metric for


@dataclass(frozen=True)
class Reading:
    """A metric by its key, and the name of the output that it is read off; also: of others that it is read off too."""

    output: str
    metric: str
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All outputs that are read."""
        return (self.output, *self.also)

    def key(self) -> dict[str, Any]:  # Any: JSON
        """What decides the value; for a function of the user's its file too."""
        found = self.to_json()
        return {**found, "text": text_digest(self.metric)} if ":" in self.metric else found

    def to_json(self) -> dict[str, Any]:  # Any: names
        """As `from_json` takes it."""
        found: dict[str, Any] = {"output": self.output, "metric": self.metric}  # Any: names
        return {**found, "also": list(self.also)} if self.also else found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Reading:  # Any: what to_json gave
        return cls(data["output"], data["metric"], tuple(data.get("also", ())))

    def __str__(self) -> str:
        return f"{self.metric}@{'+'.join(self.names)}"


def readings(
    interface: Interface,
    labels: Array | None,
    teacher_outputs: Mapping[str, Array],
    metric: str | None = None,
    output: str | None = None,
) -> tuple[Reading, ...]:
    """What is read off the outputs of a model, in the order of its outputs; never empty.

    metric: METRIC, or METRIC@OUTPUT. With labels one reading: the metric that was named, or the one that labels and the
    teacher's outputs [n, ...] mean, of the output that was named, the only one, or the first whose shape fits the
    labels. Without labels one for each output that the metric fits; without a metric what each output is says how it is
    judged (`kinds`), and boxes and scores of a detector are read together.
    Raises ConfigError where no output fits, and for a metric that needs labels where there are none.
    """
    if metric is not None:
        metric, named = metrics.split_name(metric)
        output = named or output
    chosen = None if metric is None else metrics.resolve(metric)
    if labels is not None and (chosen is None or chosen.needs != "teacher"):
        if chosen is not None and chosen.takes_all:
            return (_of_all(interface, chosen),)
        if chosen is not None and chosen.labels != "plain":
            return (_of_rows(interface, chosen, teacher_outputs, output),)
        name = output_for(interface, [labels], output).name
        return (Reading(name, metric or labelled_metric(labels, teacher_outputs[name])),)
    if chosen is not None and chosen.needs == "labels":
        raise ConfigError(without_labels(chosen))
    specs = interface.outputs if output is None else (_named(interface, output, ""),)
    if chosen is None:
        return _by_kind(interface, specs, teacher_outputs)
    if chosen.key == _BOXES and (pair := _pair(interface, specs, teacher_outputs)):
        return (pair,)
    fitting = [spec for spec in specs if _suits(chosen, spec)]
    return tuple(Reading(spec.name, chosen.key) for spec in fitting or specs)


def _of_rows(
    interface: Interface, metric: Metric, outputs: Mapping[str, Array], output: str | None
) -> Reading:
    """The output that labels of several rows are read off: the one that was named, else the first that holds some."""
    specs = interface.outputs if output is None else (_named(interface, output, ""),)
    if metric.labels == "boxes" and (pair := _pair(interface, specs, outputs)):
        return Reading(pair.output, metric.key, pair.also)
    fitting = [
        spec
        for spec in specs
        if _suits(metric, spec) and (metric.labels != "boxes" or form_of(outputs[spec.name]))
    ]
    return Reading((fitting or list(specs))[0].name, metric.key)


def _by_kind(
    interface: Interface, specs: Sequence[TensorSpec], outputs: Mapping[str, Array]
) -> tuple[Reading, ...]:
    inputs = [spec.shape for spec in interface.inputs]
    pair = _pair(interface, specs, outputs)
    found: list[Reading] = []
    for spec in specs:
        if pair is not None and spec.name in pair.names:
            found += [pair] if spec.name == pair.output else []
        else:
            known = unlabelled_metrics(outputs[spec.name], spec.name, inputs)
            found += [Reading(spec.name, metric) for metric in known]
    return tuple(found)


def _pair(
    interface: Interface, specs: Sequence[TensorSpec], outputs: Mapping[str, Array]
) -> Reading | None:
    """The output among `specs` that has boxes [a, 4], with the scores [a, k] or [a] that another has of them."""
    for spec in specs:
        if len(spec.shape) != 2 or spec.shape[1] != 4:
            continue
        for other in interface.outputs:
            scores = other is not spec and other.shape[:1] == spec.shape[:1]
            if scores and len(other.shape) <= 2 and other.dtype == spec.dtype:
                pair = Reading(spec.name, _BOXES, (other.name,))
                if is_detector(joined(pair, outputs)):
                    return pair
    return None


def _of_all(interface: Interface, metric: Metric) -> Reading:
    """For a function that takes all outputs."""
    first, *others = (spec.name for spec in interface.outputs)
    return Reading(first, metric.key, tuple(others))


def output_for(
    interface: Interface, labels: Sequence[Array], output: str | None, where: str = ""
) -> TensorSpec:
    """The output that labels [n, ...] belong to. Raises ConfigError, beginning with `where`, when none can be told."""
    if output is not None:
        return _named(interface, output, where)
    if len(interface.outputs) == 1:
        return interface.outputs[0]
    found = next((s for s in interface.outputs if all(_fits(s, y) for y in labels)), None)
    if found is None:
        raise ConfigError(
            f"{where}labels {labels[0].dtype} {['n', *labels[0].shape[1:]]} fit none of the outputs "
            f"{'; '.join(map(str, interface.outputs))}; say which is judged, as --metric METRIC@OUTPUT"
        )
    return found


def without_labels(metric: Metric) -> str:
    """The text for a metric that needs labels where there are none."""
    others = ", ".join(m.key for m in metrics.METRICS.values() if m.needs != "labels")
    return (
        f"metric {metric.key}: needs labels and the calibration set has none; add them, or "
        f"choose one of: {others}"
    )


def _named(interface: Interface, output: str, where: str) -> TensorSpec:
    names = [spec.name for spec in interface.outputs]
    if output not in names:
        raise ConfigError(unknown(f"{where}metric: output of the model", output, names))
    return interface.output(output)


def _fits(spec: TensorSpec, labels: Array) -> bool:
    """Whether labels can be answers of this output, by shape and the largest class."""
    wanted, size = labels.shape[1:], math.prod(spec.shape)
    if labels.dtype.kind == "f" or np.dtype(spec.dtype).kind in "biu":
        return size == math.prod(wanted)
    classes, places = (spec.shape[0], spec.shape[1:]) if spec.shape else (1, ())
    return math.prod(places) == math.prod(wanted) and int(labels.max()) < max(2, classes)


def _suits(metric: Metric, spec: TensorSpec) -> bool:
    """Whether a metric says something of an output: classes of vectors and integers, distances of real numbers."""
    integers = np.dtype(spec.dtype).kind in "biu"
    if metric.axes is not None:
        fewest, most = metric.axes
        return not integers and fewest <= len(spec.shape) <= most
    return integers or len(spec.shape) <= 1 if metric.compares == "classes" else not integers
