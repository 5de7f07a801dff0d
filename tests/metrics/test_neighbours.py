from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import resolve, score

RNG = np.random.default_rng(0)


def test_neighbours_is_recall_at_ten() -> None:
    """Against a sort of all similarities; rows so far apart that none are tied."""
    wanted = RNG.normal(size=(300, 5))
    got = wanted + 0.3 * RNG.normal(size=wanted.shape)

    def similar(x: np.ndarray) -> np.ndarray:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        found = unit @ unit.T
        np.fill_diagonal(found, -2)
        return found

    a, b = similar(got), similar(wanted)
    shares = []
    for mine, theirs in zip(a, b, strict=True):
        tenth = np.sort(theirs)[-10]
        shares.append(np.mean(theirs[np.argsort(-mine)[:10]] >= tenth - 0.01))
    assert 30 < 100 * np.mean(shares) < 90
    assert score("neighbours", got, None, wanted) == pytest.approx(100 * np.mean(shares))
    assert score("neighbours", 3 * wanted, None, wanted) == 100


def test_of_few_samples_all_others_are_neighbours() -> None:
    few = RNG.normal(size=(4, 3))
    assert score("neighbours", -few[::-1], None, few) == 100
    assert score("neighbours", few[:1], None, few[:1]) == 100


def test_two_that_are_as_near_may_change_places() -> None:
    # Twelve on a circle, a thousandth of a turn apart, and one far away that comes near.
    angles = np.append(np.arange(12) * 1e-3, 1.5)
    wanted = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    swapped = wanted[[0, 11, *range(2, 11), 1, 12]]
    assert score("neighbours", swapped, None, wanted) == 100
    angles[12] = 0
    got = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert score("neighbours", got, None, wanted) < 100


def test_one_of_ten_neighbours_is_a_point() -> None:
    assert resolve("neighbours").drop(100.0, 90.0) == 1
    with pytest.raises(ConfigError, match="the same shape"):
        score("neighbours", np.zeros((3, 2)), None, np.zeros((3, 4)))
