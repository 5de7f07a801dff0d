"""Levels of few bits against closed forms, exhaustive search and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.quant.weights.levels import (
    Levels,
    Scaling,
    choose,
    full,
    nearest,
    neighbours,
    squared_error,
)

SCALINGS: tuple[Scaling, ...] = ("binary", "codebook", "linear", "ternary", "uniform")


def normal(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def error(weights: NDArray[np.float64], levels: Levels) -> float:
    return squared_error(weights, nearest(weights, levels), levels.scales)


@pytest.mark.parametrize("bits", [4, 3, 2])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_levels_are_few_ascending_and_within_63(scaling: Scaling, bits: int) -> None:
    levels = choose(normal(6, 5, 3, 3), bits, scaling)
    assert levels.integers.dtype == np.int8
    assert levels.integers.shape[1] <= 1 << bits
    assert (np.diff(levels.integers.astype(int), axis=1) > 0).all()
    assert np.abs(levels.integers.astype(int)).max() <= 63
    assert levels.scales.shape == (6,)
    assert levels.scales.dtype == np.float32


@pytest.mark.parametrize("scaling", SCALINGS)
def test_weights_on_the_levels_stay_where_they_are(scaling: Scaling) -> None:
    weights = normal(4, 50)
    levels = choose(weights, 3, scaling)
    once = nearest(weights, levels)
    real = once * levels.scales.astype(np.float64)[:, None]
    np.testing.assert_array_equal(nearest(real, levels), once)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12), st.sampled_from([2, 3]))
def test_nearest_is_between_its_neighbours_and_no_level_is_nearer(
    values: list[float], bits: int
) -> None:
    weights = np.array([values])
    levels = choose(weights, bits)
    found, (below, above) = nearest(weights, levels), neighbours(weights, levels)
    assert (below <= found).all()
    assert (found <= above).all()
    steps = weights[0] / float(levels.scales[0])
    distances = np.abs(steps[:, None] - levels.integers[0].astype(float))
    np.testing.assert_allclose(np.abs(steps - found[0]), distances.min(axis=1), atol=1e-9)


def test_neighbours_worked_out_by_hand() -> None:
    levels = Levels(np.array([[-2, -1, 0, 1]], np.int8), np.array([0.5], np.float32))
    below, above = neighbours(np.array([[-9.0, -1.0, -0.3, 0.0, 0.2, 0.5, 0.6]]), levels)
    np.testing.assert_array_equal(below, [[-2, -2, -1, 0, 0, 1, 1]])
    np.testing.assert_array_equal(above, [[-2, -1, 0, 1, 1, 1, 1]])


def test_uniform_scale_is_the_best_of_a_fine_search() -> None:
    weights = normal(3, 400)
    levels = choose(weights, 2)
    for channel in range(3):
        row = weights[channel : channel + 1]
        tried = [
            error(row, Levels(levels.integers, np.array([s], np.float32)))
            for s in np.linspace(0.05, 2.0, 2000)
        ]
        chosen = error(row, Levels(levels.integers, levels.scales[channel : channel + 1]))
        assert chosen < 1.003 * min(tried)


def test_normal_weights_at_two_bits_take_odd_levels_and_the_known_error() -> None:
    """Max (1960): the best uniform quantiser with 4 levels has the error 0.1188 and the step 0.9957."""
    weights = normal(1, 200_000)
    levels = choose(weights, 2)
    np.testing.assert_array_equal(levels.integers, [[-3, -1, 1, 3]])
    assert 2 * levels.scales[0] == pytest.approx(0.9957, rel=0.01)
    assert error(weights, levels) == pytest.approx(0.1188, rel=0.01)


def test_normal_weights_at_three_bits_in_a_codebook_have_the_known_error() -> None:
    """Max (1960): the best 8 levels for a normal variable have the error 0.03454; 1/63 steps cost a little."""
    weights = normal(1, 100_000)
    assert error(weights, choose(weights, 3, "codebook")) == pytest.approx(0.03454, rel=0.05)


def test_sign_of_the_long_tail_decides_which_side_has_one_level_more() -> None:
    weights = np.array([[0.0, 0.0, 0.0, 1.0, 2.0, -1.0]])
    np.testing.assert_array_equal(choose(weights, 2).integers, [[-1, 0, 1, 2]])
    np.testing.assert_array_equal(choose(-weights, 2).integers, [[-2, -1, 0, 1]])


def test_binary_scale_is_the_mean_magnitude() -> None:
    weights = normal(5, 30)
    levels = choose(weights, 2, "binary")
    np.testing.assert_allclose(levels.scales, np.abs(weights).mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(nearest(weights, levels), np.sign(weights))


def test_ternary_scale_is_the_exhaustive_optimum() -> None:
    """With the k largest magnitudes kept, the best scale is their mean and the error sum w^2 - (sum |w|)^2 / k."""
    weights = normal(1, 40)
    ordered = np.sort(np.abs(weights[0]))[::-1]
    gains = np.cumsum(ordered) ** 2 / np.arange(1, 41)
    best = 1 - gains.max() / (weights**2).sum()
    assert error(weights, choose(weights, 2, "ternary")) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_linear_levels_reach_both_extremes_in_equal_steps(bits: int) -> None:
    weights = np.array([[-1.0, 0.2, 3.0], [0.5, -2.0, 0.1]])
    levels = choose(weights, bits, "linear")
    for integers, scale, row in zip(levels.integers, levels.scales, weights, strict=True):
        real = integers * scale.astype(np.float64)
        exact = np.linspace(row.min(), row.max(), 1 << bits)
        np.testing.assert_allclose(real, exact, atol=float(scale) / 2)
        assert np.abs(integers).max() == 63


def test_codebook_finds_values_that_are_few() -> None:
    values = np.array([-63.0, -10.0, 4.0, 50.0]) / 63
    weights = np.random.default_rng(0).choice(values, (4, 60)) * np.array([[1.0], [2], [3], [4]])
    levels = choose(weights, 2, "codebook")
    np.testing.assert_array_equal(levels.integers, [[-63, -10, 4, 50]])
    assert error(weights, levels) < 1e-12


def test_scales_are_never_below_the_least() -> None:
    weights = normal(2, 20)
    for scaling in SCALINGS:
        least = np.array([0.0, 5.0])
        levels = choose(weights, 3, scaling, np.maximum(least, 1e-12))
        assert levels.scales[1] >= 5
        assert levels.scales[0] < 5


def test_channel_of_zeros_stays_zero() -> None:
    weights = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]])
    for scaling in ("codebook", "linear", "ternary", "uniform"):
        levels = choose(weights, 4, scaling)
        real = nearest(weights, levels) * levels.scales[:, None]
        np.testing.assert_allclose(real[0], 0, atol=1e-9)


def test_full_levels_are_all_integers_of_the_limit() -> None:
    levels = full(np.ones(2, np.float32), 63)
    np.testing.assert_array_equal(levels.integers[0], np.arange(-63, 64))


def test_other_bits_are_an_error() -> None:
    for bits in (1, 5, 8):
        with pytest.raises(ConfigError, match="weights"):
            choose(normal(2, 3), bits)
