"""Segmentation: how far the areas of the classes are the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.answers import floats, probabilities, whole
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, blocks, total

_IGNORED = 255  # the label of places that do not count, as data sets have it


def miou(outputs: Array, labels: Array) -> float:
    """100 * the mean over classes of (places both have) / (places that one or the other has), of all samples together.

    outputs: scores [n, c, ...], or one score a place [n, 1, ...] of yes against no. labels: as outputs, or a class for
    each place [n, ...], in which 255 stands for places that do not count. Classes that neither has are left out.
    """
    return total(_SUMS, outputs, labels)


@dataclass(frozen=True)
class _Known:
    """bounded: of one score a place, whether it is a probability. classes: of labels, the largest + 1."""

    bounded: bool
    classes: int


def _learn(labels: Samples, given: Samples) -> _Known:
    if whole(labels[:1]):
        found = [labels[some] for some in blocks(labels)]
        return _Known(False, 1 + max(int(np.max(x, where=x != _IGNORED, initial=0)) for x in found))
    return _Known(all(probabilities(labels[some]) for some in blocks(labels)), 0)


def _each(outputs: Array, labels: Array, known: _Known) -> Floats:
    """Of each sample the places of each class that both have, then those that either has: [n, 2 * classes]."""
    if outputs.ndim < 3:
        raise _refused(outputs, labels)
    bounded = known.bounded or (whole(labels) and probabilities(outputs))
    a = _classes(outputs, bounded)
    b = labels if whole(labels) else _classes(labels, bounded)
    if b.size != a.size:
        raise _refused(outputs, labels)
    b = b.reshape(a.shape)
    classes = max(2, outputs.shape[1], known.classes)
    counted = b != _IGNORED if known.classes else np.ones(b.shape, bool)
    rows = []
    for mine, wanted, mask in zip(a, b, counted, strict=True):
        mine, wanted = mine[mask], wanted[mask]
        mine_has, wanted_has = (np.bincount(x, minlength=classes) for x in (mine, wanted))
        both = np.bincount(mine[mine == wanted], minlength=classes)
        rows.append(np.concatenate([both, mine_has + wanted_has - both]))
    return np.asarray(rows, np.float64)


def _classes(scores: Array, bounded: bool) -> NDArray[np.int64]:
    if scores.shape[1] > 1:
        return np.asarray(scores.argmax(axis=1), np.int64)
    return (floats(scores[:, 0]) > (0.5 if bounded else 0)).astype(np.int64)


def _value(sums: Floats, known: _Known) -> Floats:
    both, either = np.split(sums, 2, axis=-1)
    shares = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return np.asarray(100 * shares.sum(axis=-1) / (either > 0).sum(axis=-1))


def _refused(outputs: Array, labels: Array) -> ConfigError:
    return ConfigError(
        f"metric miou: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; it needs scores "
        "[n, classes, ...], and as many or a class for each place"
    )


_SUMS = Sums(_each, _value, _learn)

METRIC = Metric(
    key="miou",
    name="mean IoU",
    title="mean intersection over union",
    unit="%",
    fn=miou,
    compares="classes",
    axes=(2, 4),
    sums=_SUMS,
)
