"""Labels of several rows a sample, as many as the longest has: the boxes in an image, the characters of a text.

    boxes   [n, boxes, 5]   x1, y1, x2, y2, class; a row of class -1 is none
    text    [n, length]     the class of each character, -1 behind the last
    tags    [n, length]     the class of each token, -1 where there is none
    pairs   [n, 2]          the number of the pair that a sample is of, and the score of that pair

Unlike other labels the first two may be told without a metric: by rows of five with corners in order and a class
behind, and by integers with -1 behind each text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.calib.rows import Array
from squeeze.errors import ConfigError

# What labels of these forms are judged by where nobody names a metric.
METRIC_OF = {"boxes": "map", "text": "cer"}
_FIELDS = 5
_NONE = -1
_FILLED = {"tags": "-1 where there is none", "text": "filled up with -1"}
_MOST = 0.5  # of the boxes have corners in order; of numbers that are none, a quarter by chance


def form_of(arrays: list[Array]) -> str | None:
    """ "boxes" or "text", where all of the arrays [n, ...] are that beyond doubt; else None."""
    if all(y.ndim == 3 and y.shape[2] == _FIELDS and _wrong_box(y) is None for y in arrays):
        return "boxes"
    if all(y.ndim == 2 and y.dtype.kind == "i" and _wrong_text(y) is None for y in arrays):
        return "text" if any((y == _NONE).any() for y in arrays) else None
    return None


def mostly_boxes(arrays: list[Array]) -> bool:
    """Whether the arrays [n, ...] are boxes but for mistakes: every row has a class or is filled up, and most of those
    that have one have corners in order."""
    if not all(y.ndim == 3 and y.shape[2] == _FIELDS for y in arrays):
        return False
    if not all((_has_class(y) | (y[..., 4] == _NONE)).all() for y in arrays):
        return False
    right = sum(int((_has_class(y) & _in_order(y)).sum()) for y in arrays)
    return right > _MOST * sum(int(_has_class(y).sum()) for y in arrays)


def checked(y: Array, form: str, metric: str, where: str) -> Array:
    """The labels of one array as `metric` takes them: boxes and pairs as float32, texts and tags as int64. Raises
    ConfigError, with the form that is right."""
    if form == "pairs":
        if y.ndim != 2 or y.shape[1] != 2:
            raise ConfigError(
                f"{where}: got {y.dtype} {['n', *y.shape[1:]]}, allowed with metric '{metric}': [n, 2], the number of "
                "a sample's pair and the pair's score"
            )
        return y.astype(np.float32)
    if form == "boxes":
        if y.ndim != 3 or y.shape[2] != _FIELDS:
            raise ConfigError(
                f"{where}: got {y.dtype} {['n', *y.shape[1:]]}, allowed with metric '{metric}': [n, boxes, 5], rows of "
                "x1, y1, x2, y2, class, filled up with -1"
            )
        if (bad := _wrong_box(y)) is not None:
            raise ConfigError(
                f"{where}: row {bad[1]} of sample {bad[0]} is {y[bad].tolist()}, allowed with metric '{metric}': x1, "
                "y1, x2, y2, class with x1 < x2, y1 < y2 and a whole class; -1 for rows that are none"
            )
        return y.astype(np.float32)
    if y.ndim != 2 or y.dtype.kind != "i":
        raise ConfigError(
            f"{where}: got {y.dtype} {['n', *y.shape[1:]]}, allowed with metric '{metric}': integers [n, length], the "
            f"class of each {'token' if form == 'tags' else 'character'}, {_FILLED[form]}"
        )
    if form == "tags":
        if (low := int(y.min())) < _NONE:
            raise ConfigError(
                f"{where}: goes down to {low}, allowed with metric '{metric}': classes, -1 for none"
            )
        return y
    if (wrong := _wrong_text(y)) is not None:
        raise ConfigError(
            f"{where}: sample {wrong} is {y[wrong].tolist()}, allowed with metric '{metric}': classes from 0 on, and "
            "-1 behind the text alone"
        )
    return y


def _wrong_box(y: Array) -> tuple[int, int] | None:
    """The first row that is neither a box nor filled up."""
    bad = np.argwhere(~(_has_class(y) & _in_order(y)) & (y[..., 4] != _NONE))
    return None if not len(bad) else (int(bad[0, 0]), int(bad[0, 1]))


def _has_class(y: Array) -> NDArray[np.bool_]:
    kinds = y[..., 4]
    return np.asarray((kinds >= 0) & (kinds == np.round(kinds)))


def _in_order(y: Array) -> NDArray[np.bool_]:
    return np.asarray((y[..., 0] < y[..., 2]) & (y[..., 1] < y[..., 3]))


def _wrong_text(y: Array) -> int | None:
    """The first sample with a negative number that is not behind its text."""
    none = y == _NONE
    bad = np.flatnonzero((y < _NONE).any(axis=1) | (none[:, :-1] & ~none[:, 1:]).any(axis=1))
    return None if not len(bad) else int(bad[0])
