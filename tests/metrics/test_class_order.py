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


def test_a_weak_class_does_not_hide_the_order_of_the_others() -> None:
    true = np.repeat(np.arange(10), 20)
    answers, order = true.copy(), {i: (i + 1) % 10 for i in range(10)}
    answers[::6] = (true[::6] + 3) % 10
    weak = np.flatnonzero(true == 4)
    answers[weak[:12]] = 9  # more often than by its own, and 9 is the answer of another class too
    found = class_order(answers, (true + 1) % 10)
    assert found == {answer: label for answer, label in order.items() if answer not in (4, 9)}
    answers[weak] = np.arange(20) % 10  # by nothing
    found = class_order(answers, (true + 1) % 10)
    assert found == {answer: label for answer, label in order.items() if answer != 4}


def test_teachers_that_take_some_classes_for_others_have_no_other_order() -> None:
    true = np.repeat(np.arange(10), 20)
    assert class_order(true // 2 * 2, true) is None  # a class of each pair is its neighbour
    assert class_order(true // 2 * 2 + 1, (true + 1) % 10) is None
    answers = np.random.default_rng(0).integers(0, 10, 200)
    for label in range(4):  # each of four by another, beyond doubt, and six by nothing
        answers[true == label] = label + 4
    assert class_order(answers, true) is None


def test_guesses_have_no_order_however_few_classes_there_are() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 5, 10):
        for _ in range(200):
            labels = rng.integers(0, classes, 200)
            assert class_order(rng.integers(0, classes, 200), labels) is None
            assert class_order(rng.choice(classes, 200, p=_skewed(classes)), labels) is None


def _skewed(classes: int) -> np.ndarray:
    shares = 0.5 ** np.arange(classes)
    return shares / shares.sum()
