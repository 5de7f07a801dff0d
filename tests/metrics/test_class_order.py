"""Classes in another order, as they come about."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.class_order import class_order, moved

LABELS = np.repeat(np.arange(12), 10)


def test_folders_sorted_as_text() -> None:
    by_text = sorted(map(str, range(12)))  # 0, 1, 10, 11, 2, ...
    answers = np.asarray([by_text.index(str(label)) for label in LABELS])
    order = class_order(answers, LABELS)
    assert order == {i: int(text) for i, text in enumerate(by_text)}
    assert (
        moved(order)
        == "it answers 2 for label 10, 3 for label 11, 4 for label 2, 5 for label 3, ..."
    )


def test_a_background_class_in_front() -> None:
    assert class_order(LABELS + 1, LABELS) == {i + 1: i for i in range(12)}


def test_two_classes_that_changed_places_among_errors() -> None:
    answers = LABELS.copy()
    answers[LABELS == 3], answers[LABELS == 5] = 5, 3
    answers[::7] = 0
    assert class_order(answers, LABELS) == {**{i: i for i in range(12)}, 3: 5, 5: 3}


def test_right_answers_and_guesses_are_no_order() -> None:
    assert class_order(LABELS, LABELS) is None
    assert class_order(np.random.default_rng(0).integers(0, 12, 120), LABELS) is None
    assert class_order(np.zeros(120, np.int64), LABELS) is None
