"""The weight of labels beside answers: by hand, against a search, and where one of the two is worthless."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.guides.label_weight import best_weight, held_out, weight_of_few


def test_the_formula_by_hand() -> None:
    truth, by_labels, by_guide = ([[1.0], [0.0]], [[1.0], [0.5]], [[0.5], [0.25]])
    # u - v = (0.5, 0.25), y - v = (0.5, -0.25): 0.1875 / 0.3125.
    found = best_weight(*map(np.array, (truth, by_labels, by_guide)))
    assert found == pytest.approx(0.6)


def test_it_is_the_best_of_a_search() -> None:
    random = np.random.default_rng(0)
    y, u, v = random.normal(size=(3, 50, 4))
    u += 2 * y
    grid = np.linspace(0, 1, 10_001)
    errors = [np.square(y - a * u - (1 - a) * v).sum() for a in grid]
    found = best_weight(y, u, v)
    assert 0.1 < found < 0.9
    assert found == pytest.approx(grid[np.argmin(errors)], abs=1e-4)


def test_it_stays_within_its_ends_and_is_nothing_where_both_say_the_same() -> None:
    y, u, v = (np.full((3, 1), value) for value in (3.0, 1.0, 0.0))
    assert best_weight(y, u, v) == 1
    assert best_weight(y, v, u) == 0
    assert best_weight(y, u, u) == 0


def a_problem(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [n, 6], and the true probability of two classes [n, 2], which is a function of them."""
    x = np.random.default_rng(n).normal(size=(n, 6))
    p = 1 / (1 + np.exp(-4 * (x[:, 0] + np.abs(x[:, 1]) - 0.8)))
    return x, np.stack([1 - p, p], 1)


def one_hot(p: np.ndarray, seed: int) -> np.ndarray:
    return np.eye(2)[(np.random.default_rng(seed).random(len(p)) < p[:, 1]).astype(int)]


def test_labels_count_little_beside_a_guide_that_knows_and_all_beside_one_that_guesses() -> None:
    x, p = a_problem(1500)
    other, q = a_problem(800)
    labels, truth = one_hot(p, 1), one_hot(q, 2)
    noise = np.random.default_rng(3).random(len(p))
    guesses = np.stack([noise, 1 - noise], 1)
    assert held_out(x, labels, p, other, truth, 0) < 0.25
    assert held_out(x, labels, guesses, other, truth, 0) > 0.8
    assert held_out(x, labels, p, other, truth, 0) == held_out(x, labels, p, other, truth, 0)


def test_the_fewer_samples_the_more_a_guide_counts() -> None:
    # 1 - clip(1 - 0.6 f, 0.4, 1)
    for keep, weight in ((1.0, 0.6), (0.5, 0.3), (0.25, 0.15), (0.1, 0.06)):
        assert weight_of_few(keep) == pytest.approx(weight)
