"""How many boxes of a detector are those of the float model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze.errors import ConfigError
from squeeze.metrics import boxes
from squeeze.metrics.answers import check_alike
from squeeze.metrics.boxes import Boxes, Form
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, total


def f1_boxes(outputs: Array, reference: Array) -> float:
    """100 * 2 * matched / (boxes + reference boxes) over all samples; 100 when neither has any.

    Boxes are those from `boxes.threshold` on that are left by suppression. Each, the surest first, is matched with the
    free reference box of its class that it overlaps most, by half of their union at least.
    """
    return total(_SUMS, outputs, reference)


@dataclass(frozen=True)
class _Known:
    form: Form
    least_score: float


def _learn(reference: Samples, given: Samples) -> _Known:
    form = boxes.form_of(reference)
    if form is None:
        raise ConfigError(f"{boxes.not_told('f1_boxes', reference)}; else use channel_error")
    return _Known(form, boxes.threshold(reference, form))


def _each(outputs: Array, reference: Array, known: _Known) -> Floats:
    """Of each sample the boxes that are matched, its own, and the reference's: [n, 3]."""
    check_alike("f1_boxes", outputs, reference)
    mine, wanted = (boxes.found(x, known.form, known.least_score) for x in (outputs, reference))
    counts = [
        (_matched(a, b), len(a.scores), len(b.scores)) for a, b in zip(mine, wanted, strict=True)
    ]
    return np.asarray(counts, np.float64).reshape(-1, 3)


def _matched(mine: Boxes, wanted: Boxes) -> int:
    overlap = boxes.overlaps(mine.corners, wanted.corners)
    overlap[mine.classes[:, None] != wanted.classes[None]] = 0
    count = 0
    for row in overlap if overlap.size else ():
        best = int(row.argmax())
        if row[best] >= boxes.SAME:
            count += 1
            overlap[:, best] = 0
    return count


def _value(sums: Floats, known: _Known) -> Floats:
    both = sums[..., 1] + sums[..., 2]
    return np.asarray(
        100 * np.divide(2 * sums[..., 0], both, out=np.ones_like(both), where=both > 0)
    )


_SUMS = Sums(_each, _value, _learn)

METRIC = Metric(
    key="f1_boxes",
    name="boxes matched (F1)",
    title="boxes matched with the float model's (F1 at IoU 0.5)",
    unit="%",
    fn=f1_boxes,
    compares="values",
    needs="teacher",
    axes=(2, 2),
    sums=_SUMS,
)
