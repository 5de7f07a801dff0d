"""Whether a classifier's classes are the data's in another order, as a folder sorted by text puts "10" before "2"."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from squeeze.metrics.metric import Array

MOST_NAMED = 4
_FEWEST = 5  # samples of a class: of fewer, what it is taken for may be chance
_SHARE = 0.5  # of a class must be answered alike
_CHANCE = 1e-3  # that one class of all is answered alike by chance


def class_order(answers: Array, labels: Array) -> dict[int, int] | None:
    """Answer -> label, for the classes of which most samples are answered by one class of their own.

    answers, labels: [n] int. None where that is no other order: each is answered by itself, or classes share an answer
    or have none that most of a class gets beyond doubt. A weak teacher has some such classes, so those that are
    answered by another may be fewer than all, if they are more than half.
    """
    counted = [label for label in np.unique(labels) if (labels == label).sum() >= _FEWEST]
    found = {int(label): _answer(answers, labels == label) for label in counted}
    sharing = Counter(answer for answer in found.values() if answer is not None)
    order = {
        answer: label
        for label, answer in found.items()
        if answer is not None and sharing[answer] == 1
    }
    elsewhere = sum(answer != label for answer, label in order.items())
    complete = len(order) == len(counted)
    if len(order) < 2 or elsewhere == 0 or (not complete and 2 * elsewhere <= len(counted)):
        return None
    return dict(sorted(order.items()))


def _answer(answers: Array, of_class: Array) -> int | None:
    """What most samples of a class are answered by; None where nothing is, or others get it nearly as often."""
    given, others = answers[of_class], answers[~of_class]
    classes, counts = np.unique(given, return_counts=True)
    most = int(classes[counts.argmax()])
    share = counts.max() / len(given)
    if share < _SHARE:
        return None
    # Laplace's rule: what nobody else was answered by is not impossible.
    chance = (int((others == most).sum()) + 1) / (len(others) + 2)
    if share <= chance:
        return None
    # Chernoff's bound of a binomial's tail, for each of the classes that might have been the one.
    away = share * math.log(share / chance)
    if share < 1:
        away += (1 - share) * math.log((1 - share) / (1 - chance))
    doubt = len(np.unique(answers)) * math.exp(-len(given) * away)
    return most if doubt < _CHANCE else None


def moved(order: dict[int, int]) -> str:
    """Such as "it answers 0 for label 2, 1 for label 0, ..."."""
    all_of_them = [
        f"{answer} for label {label}" for answer, label in order.items() if answer != label
    ]
    more = ", ..." if len(all_of_them) > MOST_NAMED else ""
    return f"it answers {', '.join(all_of_them[:MOST_NAMED])}{more}"
