"""Taggers: the share of tokens that have the right tag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.answers import whole
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, share, total

NONE = -1  # the label of tokens that do not count


def token_accuracy(outputs: Array, labels: Array) -> float:
    """In percent of all tokens with a label. outputs: [n, t, classes], or [n, t] of integers; labels: [n, t]."""
    return total(_SUMS, outputs, labels)


def tags(metric: str, outputs: Array, labels: Array) -> NDArray[np.int64]:
    """The tag of each token, [n, t]. Raises ConfigError where outputs and labels do not fit."""
    found = outputs if whole(outputs) else np.argmax(outputs, axis=-1)
    if labels.ndim != 2 or found.shape != labels.shape:
        raise ConfigError(
            f"metric {metric}: labels {['n', *labels.shape[1:]]} do not fit outputs {['n', *outputs.shape[1:]]}; "
            "allowed: [n, tokens] and [n, tokens, classes]"
        )
    return found.astype(np.int64)


def check_classes(metric: str, labels: Samples, given: Samples) -> None:
    """Raises ConfigError for labels that are no class of the outputs."""
    shape, largest = given[:1].shape, int(labels[:].max())
    if len(shape) == 3 and largest >= shape[2]:
        raise ConfigError(
            f"metric {metric}: labels go up to {largest}, allowed: -1..{shape[2] - 1}, the classes of outputs "
            f"{['n', *shape[1:]]}"
        )


def _learn(labels: Samples, given: Samples) -> None:
    check_classes("token_accuracy", labels, given)


def _each(outputs: Array, labels: Array, known: None) -> Floats:
    """Of each sample the tokens that are right, and those that count: [n, 2]."""
    found, counted = tags("token_accuracy", outputs, labels), labels != NONE
    right = (found == labels) & counted
    return np.stack([right.sum(axis=1), counted.sum(axis=1)], axis=1).astype(np.float64)


def _value(sums: Floats, known: None) -> Floats:
    return 100 * share(sums[..., 0], sums[..., 1])


_SUMS = Sums(_each, _value, _learn)

METRIC = Metric(
    key="token_accuracy",
    name="tokens right",
    title="tokens with the right tag",
    unit="%",
    fn=token_accuracy,
    compares="classes",
    needs="labels",
    labels="tags",
    axes=(1, 2),
    sums=_SUMS,
)
