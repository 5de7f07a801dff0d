"""A detector against labelled boxes, at one threshold of overlap."""

from __future__ import annotations

from squeeze.metrics.average_precision import records
from squeeze.metrics.metric import Array, Metric
from squeeze.metrics.records import of_all


def mean_average_precision_at_half(outputs: Array, labels: Array) -> float:
    """In percent, at an intersection over union of 0.5. labels: see `average_precision`."""
    return of_all(_RECORDS, outputs, labels)


_RECORDS = records("map50", (0.5,))

METRIC = Metric(
    key="map50",
    name="mAP at 0.5",
    title="mean average precision at IoU 0.5",
    unit="%",
    fn=mean_average_precision_at_half,
    compares="values",
    needs="labels",
    labels="boxes",
    axes=(2, 2),
    records=_RECORDS,
)
