"""Relative squared error: worked by hand, and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics import resolve, score

RNG = np.random.default_rng(0)


def test_error_is_the_share_of_what_differs_that_is_missed() -> None:
    # Means 2 and 20; spread 1 + 0 + 1 and 100 + 0 + 100; missed 1 and 0: 1 of 202.
    wanted = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    got = np.array([[2.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert score("error", got, wanted) == pytest.approx(100 / 202)
    assert score("error", wanted, wanted) == 0
    assert score("error", np.broadcast_to(wanted.mean(axis=0), (3, 2)), wanted) == pytest.approx(
        100
    )


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 4), (9, 2, 3, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "uint8", "bool"])
def test_error_is_that_of_numpy_for_any_shape_and_type(shape: tuple[int, ...], dtype: str) -> None:
    a, b = (
        RNG.permuted(np.arange(np.prod(shape)) % 4 // 2, axis=0).reshape(shape).astype(dtype)
        for _ in range(2)
    )
    x, y = a.astype(np.float64), b.astype(np.float64)
    by_hand = 100 * ((x - y) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()
    assert score("error", a, None, reference=b) == pytest.approx(by_hand)


def test_constant_is_held_to_a_tenth_of_its_size() -> None:
    constant = np.full((4, 3), 7.0)
    assert score("error", constant, constant) == 0
    assert score("error", constant + 1e-9, constant) < 1e-10
    # A tenth of its size is all that a constant may be wrong by.
    assert score("error", constant + 0.7, constant) == pytest.approx(100)
    assert score("error", np.full((4, 3), 1e-9), np.zeros((4, 3))) == 100
    assert score("error", constant[:1] + 1, constant[:1]) == pytest.approx(100 / 0.49)


def test_error_of_huge_values_does_not_overflow() -> None:
    a, b = RNG.normal(size=(2, 9, 3))
    assert score("error", a * 1e250, b * 1e250) == pytest.approx(score("error", a, b))


def test_error_of_many_samples_is_that_of_all_blocks() -> None:
    # 3 blocks of at most 4 Mi numbers; the mean is of all samples, not of a block's.
    b = np.repeat(np.arange(9, dtype=np.float32), 1 << 20).reshape(9, 1 << 20)
    a = b.copy()
    a[8] += 6
    # Spread of each element: 16 + 9 + 4 + 1 twice, 60; missed 36 in one of nine samples.
    assert score("error", a, b) == pytest.approx(60)


def test_more_error_is_a_drop_in_points() -> None:
    assert resolve("error").drop(0.0, 1.25) == 1.25
    assert resolve("error").drop(3.0, 2.0) == -1
