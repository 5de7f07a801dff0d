"""What outputs say: classes, probabilities, and the numbers that labels are compared with.

One number a sample is a binary score: a probability when all lie within 0 and 1, else a logit. Integer outputs are
answers already: one a sample is its class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.metric import Array, Floats


def classes(outputs: Array, like: Array) -> NDArray[np.int64]:
    """The class of each sample, [n] (of each place, for maps [n, c, ...]). For one number a sample `like` tells
    probabilities from logits."""
    if outputs.ndim > 1 and outputs.shape[1] > 1:
        return np.asarray(np.argmax(outputs, axis=1), dtype=np.int64)
    if whole(outputs):
        return outputs.reshape(len(outputs), *outputs.shape[2:]).astype(np.int64)
    one = floats(outputs).reshape(len(outputs), *outputs.shape[2:])
    return (one > (0.5 if probabilities(like) else 0.0)).astype(np.int64)


def whole(x: Array) -> bool:
    """Whether the type is an integer or a boolean one."""
    return x.dtype.kind in "biu"


def probabilities(scores: Array, *, rows: bool = False) -> bool:
    """Whether all are probabilities; with `rows`, whether those of each sample add up to 1."""
    x = floats(scores)
    inside = bool(((x >= 0) & (x <= 1)).all())
    return inside and (not rows or bool(np.allclose(x.sum(axis=1), 1, atol=1e-2)))


def unit_vectors(x: Array) -> bool:
    """Whether rows [n, d] have length 1 and signs: embeddings, no scores of classes."""
    lengths = np.linalg.norm(floats(x), axis=1)
    return bool(np.allclose(lengths, 1, atol=1e-3)) and not bool((x >= 0).all())


def one_hot(labels: Array) -> bool:
    """Whether each row of zeros and ones has exactly one 1."""
    return bool((floats(labels).reshape(len(labels), -1).sum(axis=1) == 1).all())


def fitting(metric: str, outputs: Array, labels: Array) -> Array:
    """Labels in the shape of the outputs. Raises ConfigError unless there is one number for each."""
    same = labels.shape in (outputs.shape, outputs.shape[:-1]) or labels.ndim == outputs.ndim + 1
    if same and labels.size == outputs.size:
        return labels.reshape(outputs.shape)
    raise ConfigError(
        f"metric {metric}: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; "
        "they must have one number for each output"
    )


def check_alike(metric: str, outputs: Array, reference: Array) -> None:
    """Raises ConfigError unless the outputs have the shape of the teacher's."""
    if outputs.shape != reference.shape:
        raise ConfigError(
            f"metric {metric}: outputs {list(outputs.shape)} and the teacher's {list(reference.shape)} must have the "
            "same shape"
        )


def floats(x: Array) -> Floats:
    """As doubles: sums over many samples of float32 would lose digits."""
    return np.asarray(x, dtype=np.float64)


def rows(x: Array) -> Floats:
    """As doubles, one row a sample: [n, d]."""
    return floats(x).reshape(len(x), -1)
