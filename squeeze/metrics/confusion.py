"""Classifiers by what they take for what: of each sample its answer and its label, counted together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.answers import classes
from squeeze.metrics.metric import Array, Floats
from squeeze.metrics.records import Records
from squeeze.metrics.sums import Samples

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Confusion:
    """By class [b, c]: how often it is right, answered, and the label; binary: whether a model tells two apart."""

    right: Floats
    answered: Floats
    labelled: Floats
    binary: bool


def records(metric: str, value: Callable[[Confusion], Floats]) -> Records:
    """value: a confusion -> the metric [b], NaN where there is none."""

    def learn(labels: Samples, given: Samples) -> tuple[Array, bool]:
        # All of one number a sample, for they say together whether they are probabilities.
        like = given[:] if given[:1].size == 1 else given[:1]
        return like, like[:1].size <= 2

    def each(outputs: Array, labels: Array, known: tuple[Array, bool]) -> Sequence[Ints]:
        got = classes(outputs, known[0])
        if labels.shape == outputs.shape and outputs.ndim > 1 and outputs.shape[1] > 1:
            labels = np.argmax(labels, axis=1)
        if got.ndim != 1 or labels.size != len(got):
            raise ConfigError(
                f"metric {metric}: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; one class per "
                "sample is needed"
            )
        binary = np.full(len(got), known[1])
        return list(np.stack([got, labels.reshape(-1).astype(np.int64), binary], axis=1))

    def of_all(found: Sequence[Ints], counts: NDArray[np.int64]) -> Floats:
        rows = np.stack(found)
        return value(_counted(rows[:, 0], rows[:, 1], counts, binary=bool(rows[0, 2])))

    return Records(learn, each, of_all)


def _counted(answers: Ints, labels: Ints, counts: Ints, *, binary: bool) -> Confusion:
    """answers, labels: [n]; counts: [b, n]."""
    kinds = np.arange(2) if binary else np.unique(np.concatenate([answers, labels]))
    right, answered, labelled = np.zeros((3, len(counts), len(kinds)))
    for i, kind in enumerate(kinds):
        is_answer, is_label = answers == kind, labels == kind
        right[:, i] = counts @ (is_answer & is_label)
        answered[:, i] = counts @ is_answer
        labelled[:, i] = counts @ is_label
    return Confusion(right, answered, labelled, binary)
