"""Chance and constant answers: what outputs that know nothing score, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics import Reading
from squeeze.metrics.skill import (
    beside_chance,
    constant_answer,
    nearly_constant,
    no_better,
    straight,
)

TOP1, R2, MSE, AUC = (Reading("y", key) for key in ("top1", "r2", "mse", "auc"))
RNG = np.random.default_rng(7)


def one_hot(answers: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[answers]


def test_right_answers_are_far_from_chance_of_balanced_classes() -> None:
    labels = np.tile(np.arange(4), 50)
    found = beside_chance(TOP1, {"y": one_hot(labels, 4)}, labels)
    assert found.value == 100
    # Each answer meets a label drawn from 50 of each of four.
    assert found.chance == pytest.approx(25, abs=3)
    assert found.skill == pytest.approx(1)
    assert found.works


def test_rare_classes_that_are_found_are_skill_though_a_constant_scores_nearly_as_much() -> None:
    labels = np.zeros(200, np.int64)
    labels[:10] = 1
    answers = labels.copy()
    answers[[0, 100]] = [0, 1]  # one missed, one too many: 99 %
    found = beside_chance(TOP1, {"y": one_hot(answers, 2)}, labels)
    assert found.value == 99
    assert found.chance == pytest.approx(100 * (0.95**2 + 0.05**2), abs=1)
    assert found.works
    always = constant_answer("top1", labels)
    assert always == 95
    assert not no_better("top1", found.value, always)
    assert no_better("top1", 95.0, always)


@pytest.mark.parametrize("answers", [np.zeros(200, np.int64), RNG.integers(0, 4, 200)])
def test_constant_and_random_answers_do_not_work(answers: np.ndarray) -> None:
    labels = np.tile(np.arange(4), 50)
    assert not beside_chance(TOP1, {"y": one_hot(answers, 4)}, labels).works


def test_weak_but_better_than_chance_beyond_doubt_works() -> None:
    labels = np.tile(np.arange(100), 2)
    answers = (labels + 1) % 100
    answers[::12] = labels[::12]  # 17 of 200 are right, where chance has 2
    found = beside_chance(TOP1, {"y": one_hot(answers, 100)}, labels)
    assert found.value == 8.5
    assert found.skill == pytest.approx((8.5 - 1) / 99, abs=0.01)
    assert found.works


@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_right_answers_for_few_samples_work(count: int) -> None:
    labels = np.arange(count) % 3
    assert beside_chance(TOP1, {"y": one_hot(labels, 3)}, labels).works


def test_right_answers_of_one_class_work() -> None:
    labels = np.zeros(50, np.int64)
    found = beside_chance(TOP1, {"y": one_hot(labels, 2)}, labels)
    assert (found.value, found.chance, found.skill) == (100, 100, None)
    assert found.works


def test_ranks_of_rare_positives_work() -> None:
    labels = np.zeros(1000, np.int64)
    labels[::50] = 1  # 2 %
    scores = (RNG.standard_normal(1000) + 3 * labels).astype(np.float32)
    assert beside_chance(AUC, {"y": scores}, labels).works


def test_an_error_is_better_the_lower() -> None:
    labels = RNG.standard_normal(200).astype(np.float32)
    near = labels + 0.1 * RNG.standard_normal(200).astype(np.float32)
    found = beside_chance(MSE, {"y": near}, labels)
    # Two independent draws of variance 1 are 2 apart in the mean of squares.
    assert found.chance == pytest.approx(2 * np.var(labels), rel=0.1)
    assert found.works
    assert not beside_chance(MSE, {"y": RNG.standard_normal(200).astype(np.float32)}, labels).works


def test_ranks_that_know_nothing_are_at_half() -> None:
    labels = np.tile([0, 1], 100)
    scores = RNG.random(200).astype(np.float32)
    found = beside_chance(AUC, {"y": scores}, labels)
    assert found.chance == pytest.approx(50, abs=3)
    assert not found.works
    assert beside_chance(AUC, {"y": scores + labels}, labels).works


def test_best_constants() -> None:
    numbers = np.asarray([1.0, 2.0, 3.0, 6.0])
    assert constant_answer("mse", numbers) == pytest.approx(3.5)  # around the mean of 3
    assert constant_answer("r2", numbers) == 0
    assert no_better("mse", 3.6, 3.5)
    assert not no_better("mse", 3.4, 3.5)
    assert constant_answer("r2", np.ones((4, 2))) is None
    assert constant_answer("auc", np.asarray([0, 1])) is None


def test_same_numbers_for_every_sample_are_nearly_constant() -> None:
    same = np.full((8, 3), 0.25, np.float32)
    assert nearly_constant(same)
    assert not nearly_constant(same[:1])
    # A wake word in noise: all near zero, and none like the other; beside one that float32 rounds to 1.
    assert not nearly_constant(np.asarray([[1e-6, 1], [3e-6, 1]], np.float32))
    # A degree of latitude, told to ten metres.
    assert not nearly_constant(np.asarray([[48.1374], [48.1375]], np.float32))


def test_labels_on_another_scale_lie_on_a_line() -> None:
    x = np.arange(40.0)
    a, b = straight(x, 100 - 5 * x) or (0, 0)
    assert (a, b) == (pytest.approx(-5), pytest.approx(100))
    assert straight(x, RNG.standard_normal(40)) is None
    assert straight(np.zeros(40), x) is None
    assert straight(np.stack([x, x], axis=1), x) is None
