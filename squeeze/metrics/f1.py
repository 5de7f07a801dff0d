"""F1 of a classifier: of class 1 where it tells two classes apart, else the mean over classes."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.confusion import Confusion, records
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.records import of_all

POSITIVE = 1


def f1(outputs: Array, labels: Array) -> float:
    """In percent: 2 * right / (answered + labelled). A class that is neither answered nor labelled does not count."""
    return of_all(_RECORDS, outputs, labels)


def _value(found: Confusion) -> Floats:
    both = found.answered + found.labelled
    each = np.divide(200 * found.right, both, out=np.full_like(both, np.nan), where=both > 0)
    if found.binary:
        return each[:, POSITIVE]
    return np.asarray(np.nanmean(each, axis=1))


_RECORDS = records("f1", _value)

METRIC = Metric(
    key="f1",
    name="F1",
    title="F1 (of class 1; of more than two classes the mean)",
    unit="%",
    fn=f1,
    compares="classes",
    needs="labels",
    records=_RECORDS,
)
