"""Matthews' correlation coefficient of a classifier, as Gorodkin (2004) has it for any number of classes."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.confusion import Confusion, records
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.records import of_all


def mcc(outputs: Array, labels: Array) -> float:
    """In points, -100 to 100; 0 where all answers or all labels are of one class."""
    return of_all(_RECORDS, outputs, labels)


def _value(found: Confusion) -> Floats:
    samples = found.labelled.sum(axis=1)
    covered = found.right.sum(axis=1) * samples - (found.answered * found.labelled).sum(axis=1)
    spread = [samples**2 - (x * x).sum(axis=1) for x in (found.answered, found.labelled)]
    whole = np.sqrt(spread[0] * spread[1])
    return np.asarray(100 * np.divide(covered, whole, out=np.zeros_like(whole), where=whole > 0))


_RECORDS = records("mcc", _value)

METRIC = Metric(
    key="mcc",
    name="Matthews' correlation",
    title="Matthews' correlation coefficient",
    unit="points",
    fn=mcc,
    compares="classes",
    needs="labels",
    records=_RECORDS,
)
