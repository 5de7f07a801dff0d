"""Flips and recalls of a few answers, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from squeeze.metrics import Reading, per_class

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
BEFORE = np.array([0, 0, 0, 1, 1, 1, 2, 2, 0])
AFTER = np.array([0, 1, 1, 2, 1, 1, 1, 2, 0])


def test_flips_are_counted_by_kind() -> None:
    found = per_class.flips(BEFORE, AFTER, LABELS)
    assert found.became_wrong.tolist() == [1, 2]
    assert found.became_right.tolist() == [6]
    assert found.still_wrong.tolist() == [3]


def test_recall_is_counted_of_labelled_classes() -> None:
    answers = np.array([0, 0, 0, 1, 1, 1, 2, 2, 7])
    assert per_class.found_of(answers, LABELS) == {0: (3, 4), 1: (2, 3), 2: (1, 2)}


def test_worst_class_has_its_counts_and_what_chance_does() -> None:
    worst = per_class.worst_class(BEFORE, AFTER, LABELS)
    assert (worst.number, worst.samples, worst.before, worst.after) == (0, 4, 3, 1)
    assert (worst.became_wrong, worst.became_right) == (2, 0)
    assert worst.drop == 50.0
    assert worst.chance == 1.0  # 2 of 2 one way: 1/2 for one class, of which there are three


def test_a_class_of_many_samples_is_told_before_one_of_few() -> None:
    labels = np.repeat([0, 1], [2, 20])
    after = labels.copy()
    after[[0, *range(2, 12)]] = 5
    assert per_class.worst_class(labels, after, labels).number == 1  # both lose half


def test_no_class_loses_where_all_gain() -> None:
    assert per_class.worst_class(AFTER, AFTER, LABELS).drop == 0
    assert per_class.worst_class(np.full(9, 3), LABELS, LABELS).drop == -100


@pytest.mark.parametrize(
    ("one", "other", "likely"),
    [(0, 0, 1.0), (7, 1, 18 / 256), (1, 7, 18 / 256), (5, 5, 1.0), (12, 0, 2 / 4096)],
)
def test_mcnemars_test_is_exact(one: int, other: int, likely: float) -> None:
    assert per_class.mcnemar(one, other) == pytest.approx(likely)


def test_mcnemars_test_takes_many_changes() -> None:
    assert 0 < per_class.mcnemar(3000, 2900) < 1


def test_drop_against_known_recalls_looks_at_classes_that_have_one() -> None:
    assert per_class.recall_drop({0: 80.0, 1: 90.0}, AFTER, LABELS) == 55.0  # 80 - 1 of 4
    assert per_class.recall_drop({5: 80.0}, AFTER, LABELS) == -math.inf


@pytest.mark.parametrize(
    ("metric", "labels", "outputs", "fits"),
    [
        ("top1", np.zeros(4, np.int64), np.zeros((4, 3)), True),
        ("f1", np.zeros(4, np.int64), np.zeros((4, 1)), True),
        ("auc", np.zeros(4, np.int64), np.zeros(4), True),
        ("top1", np.eye(4, dtype=np.float32), np.zeros((4, 4)), True),
        ("auc", np.ones((4, 4), np.float32), np.zeros((4, 4)), False),
        ("top1", np.zeros((4, 5, 5), np.int64), np.zeros((4, 3, 5, 5)), False),
        ("mse", np.zeros(4, np.float32), np.zeros((4, 1)), False),
        ("agreement", np.zeros(4, np.int64), np.zeros((4, 3)), False),
        ("top1", None, np.zeros((4, 3)), False),
    ],
)
def test_one_class_a_sample(
    metric: str, labels: np.ndarray | None, outputs: np.ndarray, fits: bool
) -> None:
    assert per_class.one_class_each(Reading("y", metric), labels, outputs) == fits


def test_one_hot_labels_are_their_class() -> None:
    assert per_class.labelled(np.eye(3)[[2, 0]]).tolist() == [2, 0]
    assert per_class.labelled(np.array([[2], [0]])).tolist() == [2, 0]


def test_answers_of_one_number_are_told_by_the_teacher() -> None:
    logits, shares = np.array([-0.2, 0.3, 0.7]), np.array([0.2, 0.3, 0.7])
    assert per_class.answered(logits, np.array([-3.0, 2.0])).tolist() == [0, 1, 1]
    assert per_class.answered(shares, np.array([0.1, 0.9])).tolist() == [0, 0, 1]
