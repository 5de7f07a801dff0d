"""The average precision of a detector against labelled boxes, as COCO has it (Lin et al. 2014).

Boxes of all samples are gone through from the highest score; each is right when it overlaps a free labelled box of its
class and sample by a threshold, the one that it overlaps most. The precision at each of 101 recalls is the best at that
recall or a higher one; their mean is the average precision of a class, and the mean over classes that are labelled, and
over thresholds, is the metric. At most 100 boxes a sample count, those that score 0.001 or more; a model without
suppression of its own has boxes dropped that lie over a better one of their class by 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics import boxes
from squeeze.metrics.boxes import Boxes, Form
from squeeze.metrics.metric import Array, Floats
from squeeze.metrics.records import Records
from squeeze.metrics.sums import Samples

FIELDS = 5  # of a label: x1, y1, x2, y2, class
NONE = -1  # the class of a row that is no box
_LEAST_SCORE = 0.001
_OVER = 0.7
_MOST = 100
_RECALLS = 100  # steps from 0 to 1
_ROUNDING = 1e-9
_OTHER_UNITS = 10.0  # labels that reach so many times as far as boxes, or as little
_LOOKED_AT = 32  # samples that show the units
_BLOCK = 50  # resamples at a time


@dataclass(frozen=True)
class Judged:
    """Of one sample: scores [d] and classes [d] of the boxes found, at which thresholds each is right [d, t], and the
    classes of the labelled boxes [g]."""

    scores: Floats
    classes: NDArray[np.int64]
    right: NDArray[np.bool_]
    wanted: NDArray[np.int64]


def records(metric: str, thresholds: Sequence[float]) -> Records:
    """The metric called `metric`, in percent, at these intersections over union.

    Outputs: of a form that `boxes` tells. Labels: [n, rows, 5] of x1, y1, x2, y2, class, in the units of the outputs;
    rows of class -1 are none.
    """

    def learn(labels: Samples, given: Samples) -> Form:
        if labels[:1].ndim != 3 or labels[:1].shape[2] != FIELDS:
            raise ConfigError(
                f"metric {metric}: labels {['n', *labels[:1].shape[1:]]}, allowed: [n, boxes, 5], rows of x1, y1, x2, "
                "y2, class, filled up with -1"
            )
        form = boxes.form_of(given)
        if form is None:
            raise ConfigError(boxes.not_told(metric, given))
        _check_units(metric, labels, given, form)
        return form

    def each(outputs: Array, labels: Array, form: Form) -> list[Judged]:
        found = boxes.found(outputs, form, _LEAST_SCORE, over=_OVER, most=_MOST)
        return [judged(a, b, thresholds) for a, b in zip(found, labels, strict=True)]

    return Records(learn, each, mean_precisions)


def judged(found: Boxes, labels: Array, thresholds: Sequence[float]) -> Judged:
    """Which boxes of one sample are right. labels: [rows, 5]."""
    labels = labels[labels[:, 4] != NONE]
    wanted = np.rint(labels[:, 4]).astype(np.int64)
    overlap = boxes.overlaps(found.corners, np.asarray(labels[:, :4], np.float64))
    overlap[found.classes[:, None] != wanted[None]] = -1
    right = np.zeros((len(found.scores), len(thresholds)), bool)
    for t, least in enumerate(thresholds):
        free = overlap.copy()
        for i in range(len(free) if free.size else 0):
            best = int(free[i].argmax())
            if free[i, best] >= least:
                right[i, t] = True
                free[:, best] = -1
    return Judged(found.scores, found.classes, right, wanted)


def mean_precisions(found: Sequence[Judged], counts: NDArray[np.int64]) -> Floats:
    """In percent, for each row of counts [b, n]; NaN where no labelled box was drawn."""
    sample = np.repeat(np.arange(len(found)), [len(one.scores) for one in found])
    scores = np.concatenate([one.scores for one in found])
    classes = np.concatenate([one.classes for one in found])
    right = np.concatenate([one.right for one in found])
    labelled = np.repeat(np.arange(len(found)), [len(one.wanted) for one in found])
    wanted = np.concatenate([one.wanted for one in found])
    total, known = np.zeros(len(counts)), np.zeros(len(counts))
    for kind in np.unique(wanted):
        here = np.flatnonzero(classes == kind)
        here = here[np.argsort(-scores[here], kind="stable")]
        for start in range(0, len(counts), _BLOCK):
            some = slice(start, start + _BLOCK)
            boxes_of_kind = counts[some][:, labelled[wanted == kind]].sum(axis=1)
            drawn = counts[some][:, sample[here]]
            total[some] += _precisions(drawn, right[here], boxes_of_kind)
            known[some] += boxes_of_kind > 0
    return np.asarray(
        100 * np.divide(total, known, out=np.full(len(counts), np.nan), where=known > 0)
    )


def _precisions(
    drawn: NDArray[np.int64], right: NDArray[np.bool_], wanted: NDArray[np.int64]
) -> Floats:
    """Of one class, the mean over thresholds: [b]; 0 where nothing of it is wanted. drawn: [b, d], how often each box
    counts, the surest first."""
    found = np.zeros(len(drawn))
    if drawn.shape[1] == 0:
        return found
    all_so_far = np.maximum(np.cumsum(drawn, axis=1), 1)
    for hits in right.T:
        right_so_far = np.cumsum(drawn * hits, axis=1)
        precision = right_so_far / all_so_far
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = right_so_far / np.maximum(wanted, 1)[:, None]
        # How many of the 101 recalls are reached first by this box.
        reached = np.floor(_RECALLS * recall + _ROUNDING) + 1
        found += (best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / (_RECALLS + 1)
    return np.where(wanted > 0, found / right.shape[1], 0.0)


def _check_units(metric: str, labels: Samples, given: Samples, form: Form) -> None:
    """ConfigError where labels are none, or reach ten times as far as boxes do, or as little: every overlap, and so
    every drop, would be 0."""
    rows = np.asarray(labels[:])
    wanted = np.abs(rows[rows[..., 4] != NONE][:, :4]).max(axis=1)
    if not len(wanted):
        raise ConfigError(f"metric {metric}: none of the {len(labels)} samples has a labelled box")
    some = np.asarray(given[:_LOOKED_AT])
    corners = [b.corners for b in boxes.found(some, form, boxes.threshold(some, form))]
    far = np.abs(np.concatenate(corners)).max(axis=1)
    if not len(far):
        return
    ratio = float(np.median(wanted)) / max(float(np.median(far)), 1e-12)
    if not 1 / _OTHER_UNITS < ratio < _OTHER_UNITS:
        raise ConfigError(
            f"metric {metric}: labelled boxes reach to {np.median(wanted):.4g}, those of the model to "
            f"{np.median(far):.4g} (medians); give labels in the units of the model's boxes"
        )
