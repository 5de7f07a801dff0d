"""Ranges from histograms, against NumPy on the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze.quant.observers import OBSERVERS, Seen, minmax, mse, percentile
from squeeze.quant.ranges import histogram


def seen(values: NDArray[np.float32], bins: int = 2048) -> Seen:
    low, high = float(values.min()), float(values.max())
    return Seen(low, high, histogram(values, low, high, bins))


def error(values: NDArray[np.float32], low: float, high: float) -> float:
    """Mean squared error of 8 bits over a range, the slow way."""
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    restored = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return float(np.mean((restored - values) ** 2))


def test_histogram_counts_like_numpy() -> None:
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    found = histogram(values, low, high, 64)
    expected, _ = np.histogram(values.astype(np.float64), 64, (low, high))
    assert found.sum() == 10_000
    # A value on an edge may fall to either side in float32.
    assert np.abs(found - expected).max() <= 2


def test_histogram_of_a_constant_is_one_bin() -> None:
    found = histogram(np.full(7, 3.0, np.float32), 3.0, 3.0, 16)
    assert found[0] == 7


def test_minmax_takes_everything() -> None:
    values = np.array([-1, 2, 7], np.float32)
    assert minmax(seen(values)) == (-1, 7)


def test_percentile_drops_one_value_in_ten_thousand_at_each_tail() -> None:
    values = np.linspace(-1, 1, 100_000, dtype=np.float32)
    low, high = percentile(seen(np.append(values, [-50, 50]).astype(np.float32), 1 << 16))
    assert low == pytest.approx(-1, abs=0.01)
    assert high == pytest.approx(1, abs=0.01)


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


@pytest.mark.parametrize("name", OBSERVERS)
def test_constant_tensor_has_a_range(name: str) -> None:
    low, high = OBSERVERS[name](seen(np.zeros(10, np.float32)))
    assert low <= 0 <= high
