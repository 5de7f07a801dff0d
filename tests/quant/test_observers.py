"""Ranges from histograms, against NumPy on the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze.quant.ranges.histogram import Histogram
from squeeze.quant.ranges.observers import (
    OBSERVERS,
    SMOOTHING,
    Seen,
    divergence,
    entropy,
    minmax,
    mse,
    percentile,
)


def seen(values: NDArray[np.float32]) -> Seen:
    found = Histogram()
    found.add(values)
    return found.seen()


def error(values: NDArray[np.float32], low: float, high: float) -> float:
    """Mean squared error of 8 bits over a range, the slow way."""
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    restored = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return float(np.mean((restored - values) ** 2))


def test_minmax_takes_everything() -> None:
    values = np.array([-1, 2, 7], np.float32)
    assert minmax(seen(values)) == (-1, 7)


def test_percentile_drops_one_value_in_ten_thousand_at_each_tail() -> None:
    values = np.linspace(-1, 1, 100_000, dtype=np.float32)
    low, high = percentile(seen(np.append(values, [-50, 50]).astype(np.float32)))
    assert low == pytest.approx(-1, abs=0.03)
    assert high == pytest.approx(1, abs=0.03)


def test_percentile_can_be_given() -> None:
    values = np.linspace(0, 1, 100_001, dtype=np.float32)
    assert percentile(seen(values), 99.0) == (0, pytest.approx(0.99, abs=0.001))


def test_percentile_keeps_the_zero_of_a_rectified_tensor() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=100_000), 0).astype(np.float32)
    low, high = percentile(seen(values))
    assert low == 0
    assert high == pytest.approx(np.percentile(values, 99.99), abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_mse_clips_an_outlier_that_costs_resolution(sign: int) -> None:
    rng = np.random.default_rng(0)
    values = np.append(np.abs(rng.normal(size=200_000)), [9.0]).astype(np.float32) * sign
    low, high = mse(seen(values))
    assert max(abs(low), abs(high)) < 8
    assert min(abs(low), abs(high)) == 0
    assert error(values, low, high) < error(
        values, float(min(values.min(), 0)), float(max(values.max(), 0))
    )


def test_mse_is_near_the_best_of_a_fine_search() -> None:
    values = np.random.default_rng(1).laplace(size=100_000).astype(np.float32)
    low, high = mse(seen(values))
    best = min(
        error(values, values.min() * a, values.max() * b)
        for a in np.linspace(0.2, 1, 41)
        for b in np.linspace(0.2, 1, 41)
    )
    assert error(values, low, high) <= 1.05 * best


def test_mse_keeps_a_uniform_tensor_whole() -> None:
    values = np.linspace(0, 5, 50_001, dtype=np.float32)
    low, high = mse(seen(values))
    assert (low, high) == (0, pytest.approx(5, rel=0.02))


def test_entropy_clips_a_few_outliers() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(size=500_000), [30, -25, 28]).astype(np.float32)
    low, high = entropy(seen(values))
    assert -6 < low < -3.5
    assert 3.5 < high < 6


def test_entropy_keeps_the_bulk_of_a_rectified_tensor_and_its_zero() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=500_000), 0).astype(np.float32)
    low, high = entropy(seen(np.append(values, [20]).astype(np.float32)))
    assert low == 0
    assert 3.5 < high < 6


@pytest.mark.parametrize("sign", [1, -1])
def test_entropy_keeps_a_uniform_tensor_whole(sign: int) -> None:
    values = np.linspace(0, 5, 500_001, dtype=np.float32) * np.float32(sign)
    low, high = entropy(seen(values))
    assert high - low == pytest.approx(5, rel=0.02)


def test_divergence_is_the_formula_by_hand() -> None:
    # Steps of 2 over 0..510: the bins at 1 and 2, 3 and 4 round in pairs (halves to even): 1 -> 0, 2 -> 2, 3 -> 4,
    # 4 -> 4. The bin at 0 is apart. What is beyond 510 counts in the last bin of p alone.
    centres = np.array([0.0, 1, 2, 3, 4, 510, 600])
    counts = np.array([50.0, 10, 10, 6, 2, 20, 2])
    p = np.array([50, 10, 10, 6, 2, 22]) / 100
    q = np.array([50, 10, 10, 4, 4, 20]) / 98
    q = (1 - SMOOTHING) * q + SMOOTHING / 6
    expected = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    assert divergence(centres, counts, 0.0, 510.0) == pytest.approx(expected, rel=1e-12)


def test_divergence_of_a_grid_as_fine_as_the_bins_is_nothing() -> None:
    centres, counts = np.arange(-100.0, 156), np.arange(1.0, 257)
    assert divergence(centres, counts, -100.0, 155.0) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", OBSERVERS)
def test_constant_tensor_has_a_range(name: str) -> None:
    low, high = OBSERVERS[name](seen(np.zeros(10, np.float32)))
    assert low <= 0 <= high


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("value", [-2.5, 2.5])
def test_tensor_of_one_value_keeps_it(name: str, value: float) -> None:
    low, high = OBSERVERS[name](seen(np.full(10, value, np.float32)))
    assert min(low, 0) <= value <= max(high, 0)
