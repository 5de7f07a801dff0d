"""The formulas behind the table of metrics. Each takes outputs [n, ...] and what they should be, and gives points
(0 to 100, higher is better), but `mse`. Each raises ConfigError when the shapes do not go together.

One output per sample is a binary score: a probability when all lie within 0 and 1, else a logit.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from squeeze.errors import ConfigError
from squeeze.metrics.ranking import average_ranks, binary_auc

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]


def top1(outputs: Array, labels: Array) -> float:
    """The share of samples (of places, for maps [n, c, h, w]) whose class is the label; labels may be one-hot."""
    got, want = _classes(outputs, outputs), labels
    if labels.shape == outputs.shape and outputs.ndim > 1 and outputs.shape[1] > 1:
        want = np.argmax(labels, axis=1)
    want = want.reshape(got.shape) if want.size == got.size else want
    if want.shape != got.shape:
        raise ConfigError(
            f"metric top1: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; "
            "one class per sample is needed"
        )
    return 100 * float(np.mean(got == want))


def agreement(outputs: Array, reference: Array) -> float:
    """The share of samples for which model and teacher choose the same class."""
    _same_shape("agreement", outputs, reference)
    return 100 * float(np.mean(_classes(outputs, reference) == _classes(reference, reference)))


def auc(outputs: Array, labels: Array) -> float:
    """Area under the ROC curve. More than two classes: the mean of each against the rest; labels of the outputs'
    shape: the mean over outputs. Classes that do not occur, or alone, are left out."""
    scores = floats(outputs).reshape(len(outputs), -1)
    classes = scores.shape[1]
    if labels.shape == outputs.shape and classes > 1:
        positives = floats(labels) > 0.5
    elif labels.size == len(outputs):
        named = labels.reshape(-1)
        if classes <= 2:
            if not np.isin(named, (0, 1)).all():
                raise ConfigError(
                    f"metric auc: {classes} output(s) tell two classes apart, labels must be 0 or 1"
                )
            # The difference of two logits ranks as the softmax of the second does, without saturating.
            scores = scores if classes == 1 else scores[:, 1:] - scores[:, :1]
            positives = (named == 1)[:, None]
        else:
            scores = scores if probabilities(scores, rows=True) else _softmax(scores)
            positives = named[:, None] == np.arange(classes)
    else:
        raise ConfigError(
            f"metric auc: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}"
        )
    areas = [
        binary_auc(scores[:, k], positives[:, k])
        for k in range(scores.shape[1])
        if 0 < positives[:, k].sum() < len(scores)
    ]
    if not areas:
        raise ConfigError(
            "metric auc: the evaluation split has one class only; it needs samples of two"
        )
    return 100 * float(np.mean(areas))


def mse(outputs: Array, labels: Array) -> float:
    """The mean of squared differences."""
    return float(np.mean((floats(outputs) - _fitting("mse", outputs, labels)) ** 2))


def cosine(outputs: Array, labels: Array) -> float:
    """The mean cosine between the vectors of each sample; 0 where one is zero, 1 where both are."""
    a = floats(outputs).reshape(len(outputs), -1)
    b = _fitting("cosine", outputs, labels).reshape(a.shape)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    cosines = np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0)
    return 100 * float(np.mean(np.where(both_zero, 1.0, cosines)))


def spearman(outputs: Array, labels: Array) -> float:
    """Rank correlation with shared ties: of one output over samples, of several within each sample, averaged."""
    a = floats(outputs).reshape(len(outputs), -1)
    b = _fitting("spearman", outputs, labels).reshape(a.shape)
    rows = [(a[:, 0], b[:, 0])] if a.shape[1] == 1 else zip(a, b, strict=True)
    return 100 * float(np.mean([_rank_correlation(x, y) for x, y in rows]))


def _rank_correlation(x: Floats, y: Floats) -> float:
    a, b = average_ranks(x), average_ranks(y)
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / spread if spread > 0 else float(not a.any() and not b.any())


def _classes(outputs: Array, like: Array) -> npt.NDArray[np.int64]:
    """The class of each sample. For one output, `like` tells probabilities from logits."""
    if outputs.ndim > 1 and outputs.shape[1] > 1:
        return np.asarray(np.argmax(outputs, axis=1), dtype=np.int64)
    one = floats(outputs).reshape(len(outputs))
    return (one > (0.5 if probabilities(like) else 0.0)).astype(np.int64)


def probabilities(scores: Array, *, rows: bool = False) -> bool:
    """Whether all are probabilities; with `rows`, whether those of each sample add up to 1."""
    x = floats(scores)
    inside = bool(((x >= 0) & (x <= 1)).all())
    return inside and (not rows or bool(np.allclose(x.sum(axis=1), 1, atol=1e-2)))


def _softmax(logits: Floats) -> Floats:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def one_hot(labels: Array) -> bool:
    """Whether each row of zeros and ones has exactly one 1."""
    return bool((floats(labels).reshape(len(labels), -1).sum(axis=1) == 1).all())


def _fitting(metric: str, outputs: Array, labels: Array) -> Floats:
    if labels.shape in (outputs.shape, outputs.shape[:-1]) and labels.size == outputs.size:
        return floats(labels).reshape(outputs.shape)
    if labels.ndim == outputs.ndim + 1 and labels.size == outputs.size:
        return floats(labels).reshape(outputs.shape)
    raise ConfigError(
        f"metric {metric}: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; "
        "they must have one number for each output"
    )


def _same_shape(metric: str, outputs: Array, reference: Array) -> None:
    if outputs.shape != reference.shape:
        raise ConfigError(
            f"metric {metric}: outputs {list(outputs.shape)} and the teacher's "
            f"{list(reference.shape)} must have the same shape"
        )


def floats(x: Array) -> Floats:
    """As doubles: sums over many samples of float32 would lose digits."""
    return np.asarray(x, dtype=np.float64)
