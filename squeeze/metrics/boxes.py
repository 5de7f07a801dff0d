"""Boxes of detectors: how an output holds them, and those that are left of a sample's anchors.

Forms that are understood, with fields and anchors in either order:

    4 + k    a box, k scores                      [n, 4 + k, anchors]; boxes and scores as two outputs, joined
    5 + k    a box, objectness, k scores          [n, anchors, 5 + k]
    6        corners, score, class, sorted out    [n, boxes, 6], of a model with suppression inside

A box is its corners (x, y, x, y) where they are in order nearly everywhere, else centre and size, which must be
positive. Scores must be probabilities. Everything else is none of these: raw offsets to anchors, logits, boxes with key
points or masks behind their scores, which no matching of boxes would see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.sums import Array, Floats, Samples, blocks

USUAL = 0.25  # the least score of a box, as tools of detectors have it
SAME = 0.5  # intersection over union from which two boxes are of one thing
_LOOKED_AT = 32  # samples that show the form
_FEWEST_ANCHORS = 20
_MOST_FIELDS = 512
_NEARLY = 0.999  # of the boxes, for a network is not exact at its border
_MOST_BOXES = 300  # of a sample
_MOST_ANCHORS = 1000  # of a sample that are compared with each other
_BACKGROUND = 0.5  # of the anchors, and more, have the class that is none


@dataclass(frozen=True)
class Form:
    """fields: the axis, 1 or 2. corners: of boxes, else centres and sizes. first: where the scores of classes begin.

    objectness: whether field 4 is that. background: the class that is none. sorted_out: the form of 6.
    """

    fields: int
    corners: bool
    first: int = 4
    objectness: bool = False
    background: int | None = None
    sorted_out: bool = False


@dataclass(frozen=True)
class Boxes:
    """Of one sample: corners [b, 4], scores [b] from the highest, classes [b]."""

    corners: Floats
    scores: Floats
    classes: NDArray[np.int64]


def form_of(outputs: Samples) -> Form | None:
    """How the outputs of a float model hold boxes; None when they hold none that can be told."""
    some = np.asarray(outputs[:_LOOKED_AT], np.float64)
    if some.ndim != 3 or not some.size:
        return None
    if some.shape[2] == 6 and _sorted_out(some):
        return Form(2, corners=True, sorted_out=True)
    axis = 1 if some.shape[1] < some.shape[2] else 2
    rows = some if axis == 2 else np.swapaxes(some, 1, 2)  # [n, anchors, fields]
    anchors, fields = rows.shape[1:]
    if anchors < _FEWEST_ANCHORS or not 5 <= fields <= _MOST_FIELDS:
        return None
    scores, corners = rows[..., 4:], _are_corners(rows[..., :4])
    if corners is None or scores.min() < 0 or scores.max() > 1 or np.ptp(scores) == 0:
        return None
    # Fields first have no objectness in any export that is known, fields last have it where there is room.
    objectness = axis == 2 and fields > 5 and not _adds_up(scores)
    background = _background(scores) if _adds_up(scores) else None
    return Form(axis, corners, 5 if objectness else 4, objectness, background)


def threshold(outputs: Samples, form: Form) -> float:
    """The score from which a box counts: the usual one, or half of the middle sample's highest where fewer than half of
    the samples have a box at all."""
    tops = np.concatenate([_scored(outputs[some], form)[0].max(axis=1) for some in blocks(outputs)])
    mostly = bool(np.count_nonzero(tops >= USUAL) >= len(tops) / 2)
    return USUAL if mostly else float(np.median(tops)) / 2


def share_over(outputs: Samples, form: Form, least: float) -> float:
    """Of all anchors those that score `least` or more."""
    over = [_scored(outputs[some], form)[0] >= least for some in blocks(outputs)]
    return float(np.concatenate(over).mean())


def not_told(metric: str, outputs: Samples) -> str:
    """The text for outputs that hold no boxes."""
    return (
        f"metric {metric}: no boxes can be told in outputs {['n', *outputs[:1].shape[1:]]}; allowed: [n, 4 + k, "
        f"anchors], [n, anchors, 4 or 5 + k] with {_FEWEST_ANCHORS} anchors or more and scores of 0 to 1, or a pair of "
        "such outputs with boxes and scores"
    )


def found(
    outputs: Array, form: Form, least: float, *, over: float = SAME, most: int = _MOST_BOXES
) -> list[Boxes]:
    """The boxes of each sample that score `least` or more, the best `most` of them, without those that lie over a
    better one of their class by an intersection over union of `over`."""
    rows = _rows(outputs, form)
    scores, classes = _scored(outputs, form)
    return [_one(rows[i], scores[i], classes[i], form, least, over, most) for i in range(len(rows))]


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of corners [p, 4] and [q, 4] -> [p, q]; 0 of boxes without area."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=1) for x in (a, b)]
    both = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(np.divide(shared, both, out=np.zeros_like(both), where=both > 0))


def _one(
    rows: Floats,
    scores: Floats,
    classes: NDArray[np.int64],
    form: Form,
    least: float,
    over: float,
    most: int,
) -> Boxes:
    kept = np.flatnonzero(scores >= least)
    kept = kept[np.argsort(-scores[kept], kind="stable")][:_MOST_ANCHORS]
    box = rows[kept, :4]
    corners = (
        box
        if form.corners
        else np.hstack([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2])
    )
    classes, scores = classes[kept], scores[kept]
    if not form.sorted_out:
        best = _suppressed(corners, classes, over, most)
        corners, classes, scores = corners[best], classes[best], scores[best]
    return Boxes(corners[:most], scores[:most], classes[:most])


def _suppressed(
    corners: Floats, classes: NDArray[np.int64], over: float, most: int
) -> NDArray[np.intp]:
    """Those that no better one of the same class lies over, `most` at most; the best come first."""
    left = np.arange(len(corners))
    best: list[int] = []
    while len(left) and len(best) < most:
        first, left = left[0], left[1:]
        best.append(int(first))
        same = overlaps(corners[first : first + 1], corners[left])[0] >= over
        left = left[~(same & (classes[left] == classes[first]))]
    return np.asarray(best, np.intp)


def _rows(outputs: Array, form: Form) -> Floats:
    """[n, anchors, fields]."""
    moved = outputs if form.fields == 2 else np.swapaxes(outputs, 1, 2)
    return np.asarray(moved, np.float64)


def _scored(outputs: Array, form: Form) -> tuple[Floats, NDArray[np.int64]]:
    """The best class of each anchor and its score, [n, anchors] each."""
    rows = _rows(outputs, form)
    if form.sorted_out:
        return rows[..., 4], np.rint(rows[..., 5]).astype(np.int64)
    scores = rows[..., form.first :]
    if form.background is not None:
        scores = np.delete(scores, form.background, axis=2)
    classes = scores.argmax(axis=2)
    best = np.take_along_axis(scores, classes[..., None], axis=2)[..., 0]
    return (best * rows[..., 4] if form.objectness else best), classes


def _are_corners(boxes: Floats) -> bool | None:
    """Whether boxes [..., 4] are corners, else centres and sizes; None when they can be neither."""
    x, y, p, q = np.moveaxis(boxes, -1, 0)
    if np.mean((p >= x) & (q >= y)) >= _NEARLY and np.any(p > x):
        return True
    return False if np.mean((p > 0) & (q > 0)) >= _NEARLY else None


def _sorted_out(rows: Floats) -> bool:
    scores, classes = rows[..., 4], rows[..., 5]
    in_order = bool((np.diff(scores, axis=1) <= 1e-6).all())
    whole = bool((classes == np.rint(classes)).all()) and bool((classes >= -1).all())
    bounded = bool(((scores >= 0) & (scores <= 1)).all())
    return in_order and whole and bounded and _are_corners(rows[..., :4]) is True


def _adds_up(scores: Floats) -> bool:
    return scores.shape[2] > 1 and bool(np.allclose(scores.sum(axis=2), 1, atol=1e-2))


def _background(scores: Floats) -> int | None:
    """Of a softmax over classes the one that stands for nothing: that of most anchors."""
    counts = np.bincount(scores.argmax(axis=2).reshape(-1), minlength=scores.shape[2])
    most = int(counts.argmax())
    return most if counts[most] >= _BACKGROUND * counts.sum() else None
