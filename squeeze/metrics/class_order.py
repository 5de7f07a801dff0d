"""Whether a classifier's classes are the data's in another order, as a folder sorted by text puts "10" before "2"."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.metric import Array

MOST_NAMED = 4
_FEWEST = 5  # samples of a class: of fewer, what it is taken for may be chance
_SHARE = 0.5  # of a class must be answered alike


def class_order(answers: Array, labels: Array) -> dict[int, int] | None:
    """Answer -> label, for the classes of which most samples are answered by one class of their own.

    answers, labels: [n] int. None where that is no other order: classes share an answer, each is answered by itself, or
    one of enough samples has no answer that most of it gets.
    """
    order: dict[int, int] = {}
    for label in np.unique(labels):
        given = answers[labels == label]
        if len(given) < _FEWEST:
            continue
        classes, counts = np.unique(given, return_counts=True)
        most = int(counts.argmax())
        if counts[most] < _SHARE * len(given) or int(classes[most]) in order:
            return None
        order[int(classes[most])] = int(label)
    other = len(order) > 1 and any(answer != label for answer, label in order.items())
    return dict(sorted(order.items())) if other else None


def moved(order: dict[int, int]) -> str:
    """Such as "it answers 0 for label 2, 1 for label 0, ..."."""
    all_of_them = [
        f"{answer} for label {label}" for answer, label in order.items() if answer != label
    ]
    more = ", ..." if len(all_of_them) > MOST_NAMED else ""
    return f"it answers {', '.join(all_of_them[:MOST_NAMED])}{more}"
