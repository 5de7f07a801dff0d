"""How far a file does the same task as the float model: one number in percent for each shipped model, 100 the best.

same_class     samples with the same class of highest score; of a sequence, steps
same_text      the text that is read off: 100 less the edit distance, by the longer text; of a CTC head, best path
f1_boxes       boxes of one class that overlap by half or more (IoU), after non-maximum suppression
f1_marks       cells of a map above its threshold in both
r2             share of the variance over samples that is kept, each cell around its own mean; the worst output counts

Everything is compared sample by sample with the float model on the same input. `Outputs` are those of one sample, by
name, with the batch axis of one still there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Outputs = Mapping[str, Array]
Agreement = Callable[[Sequence[Outputs], Sequence[Outputs]], float]  # the file's, the float model's
Boxes = tuple[Array, Array, NDArray[np.intp]]  # corners [n, 4], scores [n], classes [n]
OVERLAP = 0.5
SUPPRESSED = 0.45


def same_class(output: str, axis: int = -1) -> Agreement:
    """Over the classes on `axis` of an output."""

    def agreement(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> float:
        same = [
            np.mean(a[output].argmax(axis) == b[output].argmax(axis))
            for a, b in zip(ours, theirs, strict=True)
        ]
        return float(100 * np.mean(same))

    return agreement


def same_text(output: str, blank: int) -> Agreement:
    """Of a CTC head whose classes are on the last axis; other axes of one are dropped."""

    def read(one: Outputs) -> list[int]:
        found = one[output].reshape(-1, one[output].shape[-1]).argmax(-1)
        return [int(c) for c, _ in groupby(found.tolist()) if c != blank]

    def agreement(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> float:
        texts = [(read(a), read(b)) for a, b in zip(ours, theirs, strict=True)]
        apart = [edits(a, b) / max(1, len(a), len(b)) for a, b in texts]
        return float(100 * (1 - np.mean(apart)))

    return agreement


def f1_marks(output: str, threshold: float) -> Agreement:
    """Over the cells of all samples together."""

    def agreement(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> float:
        both = apart = 0
        for a, b in zip(ours, theirs, strict=True):
            mine, its = a[output] > threshold, b[output] > threshold
            both += int(np.sum(mine & its))
            apart += int(np.sum(mine != its))
        return _f1(both, apart)

    return agreement


def f1_boxes(decode: Callable[[Outputs], Boxes]) -> Agreement:
    """Over the boxes of all samples together."""

    def agreement(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> float:
        both = apart = 0
        for a, b in zip(ours, theirs, strict=True):
            mine, its = (suppressed(*decode(one)) for one in (a, b))
            matched = matches(mine, its)
            both += matched
            apart += len(mine[0]) + len(its[0]) - 2 * matched
        return _f1(both, apart)

    return agreement


def r2(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> float:
    """Of every output that is not boolean; an output that never varies is left out."""
    found = []
    for name in theirs[0]:
        mine, its = (
            np.stack([np.ravel(one[name]) for one in every]).astype(float)  # [n, cells]
            for every in (ours, theirs)
        )
        spread = float(np.sum((its - its.mean(0)) ** 2))
        if spread > 0 and theirs[0][name].dtype != np.bool_:
            found.append(100 * (1 - float(np.sum((mine - its) ** 2)) / spread))
    return min(found)


def edits(a: Sequence[int], b: Sequence[int]) -> int:
    """The Levenshtein distance."""
    row = np.arange(len(b) + 1)
    for i, x in enumerate(a):
        previous, row[0] = row.copy(), i + 1
        for j, y in enumerate(b):
            row[j + 1] = min(previous[j] + (x != y), previous[j + 1] + 1, row[j] + 1)
    return int(row[-1])


def yolo8(output: str, threshold: float) -> Callable[[Outputs], Boxes]:
    """[1, 4 + classes, anchors]: centre, size, scores."""

    def decode(one: Outputs) -> Boxes:
        rows = one[output][0].T
        scores = rows[:, 4:]
        return _boxes(_corners(rows[:, :4]), scores.max(1), scores.argmax(1), threshold)

    return decode


def yolox(output: str, size: int, threshold: float) -> Callable[[Outputs], Boxes]:
    """[1, anchors, 5 + classes] relative to a grid of strides 8, 16 and 32."""
    grids = [(size // stride, size // stride, stride) for stride in (8, 16, 32)]
    centres, strides = _grid(grids)

    def decode(one: Outputs) -> Boxes:
        rows = one[output][0]
        middle = (rows[:, :2] + centres) * strides[:, None]
        with np.errstate(over="ignore"):
            sides = np.exp(rows[:, 2:4].astype(float)) * strides[:, None]
        scores = rows[:, 4:5] * rows[:, 5:]
        corners = _corners(np.concatenate([middle, sides], 1))
        return _boxes(corners, scores.max(1), scores.argmax(1), threshold)

    return decode


def picodet(
    scores: Sequence[str], sides: Sequence[str], size: tuple[int, int], threshold: float
) -> Callable[[Outputs], Boxes]:
    """Scores [1, cells, classes] and distributions of four distances [1, cells, 4 * bins], by level: strides 8 on."""
    strides = [8 << level for level in range(len(scores))]
    centres, scale = _grid([(-(-size[0] // s), -(-size[1] // s), s) for s in strides])

    def decode(one: Outputs) -> Boxes:
        chance = np.concatenate([one[name][0] for name in scores])
        spread = np.concatenate([one[name][0] for name in sides]).astype(float)
        spread = spread.reshape(len(spread), 4, -1)
        weights = np.exp(spread - spread.max(-1, keepdims=True))
        away = (weights / weights.sum(-1, keepdims=True)) @ np.arange(spread.shape[-1])
        low = centres + 0.5 - away[:, :2]
        high = centres + 0.5 + away[:, 2:]
        corners = np.concatenate([low, high], 1) * scale[:, None]
        return _boxes(corners, chance.max(1), chance.argmax(1), threshold)

    return decode


def suppressed(corners: Array, scores: Array, classes: NDArray[np.intp]) -> Boxes:
    """Without the boxes that a better one of the same class overlaps by more than SUPPRESSED, the best first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        same = [k for k in kept if classes[k] == classes[i]]
        if not same or overlaps(corners[i], corners[same]).max() <= SUPPRESSED:
            kept.append(int(i))
    return corners[kept], scores[kept], classes[kept]


def matches(ours: Boxes, theirs: Boxes) -> int:
    """How many of ours, the best first, find one of theirs that overlaps by OVERLAP and isn't taken."""
    free = list(range(len(theirs[0])))
    found = 0
    for corner, kind in zip(ours[0], ours[2], strict=True):
        same = [k for k in free if theirs[2][k] == kind]
        if same:
            by = overlaps(corner, theirs[0][same])
            if by.max() >= OVERLAP:
                free.remove(same[int(by.argmax())])
                found += 1
    return found


def overlaps(one: Array, others: Array) -> Array:
    """Intersection over union of a box [4] with others [n, 4]."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), 1)
    areas = np.prod(others[:, 2:] - others[:, :2], 1) + np.prod(one[2:] - one[:2])
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def _boxes(corners: Array, scores: Array, classes: NDArray[np.intp], threshold: float) -> Boxes:
    good = (scores > threshold) & np.isfinite(corners).all(1)
    return corners[good], scores[good], classes[good]


def _corners(boxes: Array) -> Array:
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([middle - half, middle + half], 1)


def _grid(levels: Sequence[tuple[int, int, int]]) -> tuple[Array, Array]:
    """Column and row of each cell, level after level, row by row, and its stride. levels: rows, columns, stride"""
    cells = [np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1) for h, w, _ in levels]
    strides = [np.full(h * w, float(stride)) for h, w, stride in levels]
    return np.concatenate([c.reshape(-1, 2) for c in cells]).astype(float), np.concatenate(strides)


def _f1(both: int, apart: int) -> float:
    """In percent; nothing found by either is agreement."""
    return 100.0 if both + apart == 0 else 100 * 2 * both / (2 * both + apart)
