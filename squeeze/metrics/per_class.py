"""What a classifier does class by class: how many samples of each it finds, and which answers change between two files.

Recall of a class: the share of its samples that are answered with it. A change of it is of the same samples before and
after, so that chance is told from loss by what changed alone: McNemar's exact test (1947), times the number of classes
(Bonferroni), for the worst of many is looked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze import metrics
from squeeze.metrics.answers import classes
from squeeze.metrics.metric import Array
from squeeze.metrics.reading import Reading

Ints = NDArray[np.int64]
# More samples of a class that changed for the worse than chance explains in one of twenty cases.
CHANCE = 0.05


@dataclass(frozen=True)
class Flips:
    """Places [k] of samples whose answer changed: right and became wrong, wrong and became right, another wrong one."""

    became_wrong: Ints
    became_right: Ints
    still_wrong: Ints


@dataclass(frozen=True)
class Worst:
    """The class whose recall drops most: its samples, how many of them were right before and after, and of how many the
    answer became wrong or right. chance: how likely this is with no loss at all, in one of all classes; at most 1."""

    number: int
    samples: int
    before: int
    after: int
    became_wrong: int
    became_right: int
    chance: float

    @property
    def drop(self) -> float:
        """Points of recall; negative where even this class gains."""
        return 100 * (self.before - self.after) / self.samples


def one_class_each(reading: Reading, labels: Array | None, outputs: Array) -> bool:
    """Whether what is judged is one class a sample: labels are classes [n], or one-hot, and outputs [n, c], [n, 1] or
    [n] answer with one."""
    if labels is None or ":" in reading.metric:
        return False
    metric = metrics.resolve(reading.metric)
    if not metric.classifies or metric.labels != "plain":
        return False
    samples = len(labels)
    if len(outputs) != samples or math.prod(outputs.shape[2:]) != 1:
        return False
    if labels.size != samples:
        one_hot = labels.shape == outputs.shape and bool((labels.sum(axis=1) == 1).all())
        return one_hot and bool(np.isin(labels, (0, 1)).all())
    return labels.dtype.kind in "biu"


def labelled(labels: Array) -> Ints:
    """The class of each sample, [n], of labels that `one_class_each` takes."""
    if labels.size == len(labels):
        return labels.reshape(-1).astype(np.int64)
    return np.asarray(labels.reshape(len(labels), -1).argmax(axis=1), dtype=np.int64)


def answered(outputs: Array, reference: Array) -> Ints:
    """The class that each sample is answered with, [n]. reference: of the teacher; tells whether single numbers are
    probabilities."""
    return classes(outputs, reference).reshape(-1)


def found_of(answers: Ints, labels: Ints) -> dict[int, tuple[int, int]]:
    """Of each labelled class how many samples are answered with it, and how many there are."""
    return {
        int(number): (int((answers[labels == number] == number).sum()), int(count))
        for number, count in zip(*np.unique(labels, return_counts=True), strict=True)
    }


def flips(before: Ints, after: Ints, labels: Ints) -> Flips:
    """All [n]."""
    was, now = before == labels, after == labels
    return Flips(
        np.flatnonzero(was & ~now),
        np.flatnonzero(~was & now),
        np.flatnonzero(~was & ~now & (before != after)),
    )


def worst_class(before: Ints, after: Ints, labels: Ints) -> Worst:
    """All [n], of one sample at least. Of classes that lose alike the one that most samples say it of."""
    was, now, kinds = before == labels, after == labels, np.unique(labels)
    each = []
    for number in kinds:
        own = labels == number
        gone, won = int((was & ~now & own).sum()), int((~was & now & own).sum())
        chance = min(1.0, len(kinds) * mcnemar(gone, won))
        right = int((was & own).sum()), int((now & own).sum())
        each.append(Worst(int(number), int(own.sum()), *right, gone, won, chance))
    return max(each, key=lambda worst: (worst.drop, worst.samples))


def mcnemar(one: int, other: int) -> float:
    """How likely two counts of changes, one for each side, differ as much or more where both sides are as likely."""
    total, least = one + other, min(one, other)
    tail: float = sum(math.comb(total, k) for k in range(least + 1)) / 2**total
    return min(1.0, 2 * tail)


def recall_drop(known: dict[int, float], answers: Ints, labels: Ints) -> float:
    """Points that the class loses which loses most against recalls that are `known` of each, in percent; -inf where
    none of them is labelled here."""
    found = found_of(answers, labels)
    return max(
        (known[n] - 100 * right / samples for n, (right, samples) in found.items() if n in known),
        default=-math.inf,
    )
