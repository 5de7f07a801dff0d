"""A detector against labelled boxes, at ten thresholds of overlap."""

from __future__ import annotations

from squeeze.metrics.average_precision import records
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.records import of_all

_THRESHOLDS = tuple(0.5 + 0.05 * i for i in range(10))


def mean_average_precision(outputs: Array, labels: Array) -> float:
    """In percent, the mean at intersections over union of 0.5, 0.55, ... 0.95. labels: see `average_precision`."""
    return of_all(_RECORDS, outputs, labels)


_RECORDS = records("map", _THRESHOLDS)

METRIC = Metric(
    key="map",
    name="mAP",
    title="mean average precision at IoU 0.5 to 0.95",
    unit="%",
    fn=mean_average_precision,
    compares="values",
    needs="labels",
    labels="boxes",
    axes=(2, 2),
    records=_RECORDS,
)
