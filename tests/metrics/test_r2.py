from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics import resolve, score


def test_r2_is_what_is_explained_of_the_worst_output() -> None:
    wanted = np.array([[1.0, 10], [2, 20], [3, 30]])
    got = wanted + np.array([[0.5, 0], [0, 0], [0, 5]])
    # Spread 2 and 200; missed 0.25 and 25: both 12.5 %.
    assert score("r2", got, wanted) == pytest.approx(87.5)
    got[0, 0] += 0.5
    assert score("r2", got, wanted) == pytest.approx(50)
    assert score("r2", got[:, 1], wanted[:, 1:]) == pytest.approx(87.5)
    assert resolve("r2").drop(98.0, 97.0) == 1


def test_r2_may_be_below_nothing_and_a_constant_is_all_or_nothing() -> None:
    wanted = np.array([1.0, 2, 3])
    assert score("r2", wanted[::-1], wanted) == pytest.approx(-300)
    assert score("r2", np.ones(3), np.ones(3)) == 100
    assert score("r2", np.ones(3) + 1e-3, np.ones(3)) == 0
