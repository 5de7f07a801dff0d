"""One of each, against all ways there are."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from squeeze.knapsack import one_of_each


@pytest.mark.parametrize("seed", range(8))
def test_least_loss_is_that_of_all_ways_when_two_costs_are_limited(seed: int) -> None:
    random = np.random.default_rng(seed)
    things, each = 4, 4
    losses, first, second = (random.random((things, each)) for _ in range(3))
    ways = list(product(range(each), repeat=things))

    def total(table: np.ndarray, way: tuple[int, ...]) -> float:
        return float(sum(table[i, k] for i, k in enumerate(way)))

    some = tuple(int(k) for k in random.integers(0, each, things))
    limits = (total(first, some), total(second, some))
    inside = [w for w in ways if total(first, w) <= limits[0] and total(second, w) <= limits[1]]
    assert len(inside) < len(ways)
    taken = one_of_each(
        losses.ravel(),
        second.ravel(),
        np.kron(np.eye(things), np.ones(each)),
        [(first.ravel(), limits[0]), (second.ravel(), limits[1])],
    )
    assert taken is not None
    found = tuple(int(row.argmax()) for row in taken.reshape(things, each))
    assert found == min(inside, key=lambda way: total(losses, way))


def test_smaller_is_taken_when_losses_are_equal_and_nothing_when_nothing_fits() -> None:
    sizes, one = np.array([3.0, 1.0, 2.0]), np.ones((1, 3))
    assert one_of_each(np.ones(3), sizes, one, []).tolist() == [False, True, False]  # type: ignore[union-attr]
    assert one_of_each(np.ones(3), sizes, one, [(sizes, 0.5)]) is None
