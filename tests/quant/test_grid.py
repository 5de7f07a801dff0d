"""Scales, zero points and integers against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.quant.ranges.grid import (
    Grid,
    least_scales,
    params,
    quantise_bias,
    quantise_weights,
    round_trip,
    weight_scales,
)

U8, S8 = Grid(np.dtype("uint8")), Grid(np.dtype("int8"))


@pytest.mark.parametrize(
    ("low", "high", "grid", "scale", "zero_point"),
    [
        (0.0, 6.0, U8, 6 / 255, 0),
        (0.0, 6.0, S8, 6 / 255, -128),
        (-1.0, 1.0, U8, 2 / 255, 128),
        (-3.0, 0.0, U8, 3 / 255, 255),
        (2.0, 5.1, U8, 5.1 / 255, 0),
        (-5.1, -2.0, S8, 5.1 / 255, 127),
    ],
    ids=["relu", "relu-signed", "both", "negative", "above-zero", "below-zero"],
)
def test_range_to_scale_and_zero_point(
    low: float, high: float, grid: Grid, scale: float, zero_point: int
) -> None:
    found = params(low, high, grid)
    assert found.scale == pytest.approx(scale, rel=1e-6)
    assert found.zero_point == zero_point


def test_constant_zero_still_has_a_scale() -> None:
    found = params(0.0, 0.0, U8)
    assert found.scale > 0
    assert found.zero_point == 0


def test_weights_have_a_scale_per_channel_and_never_use_minus_128() -> None:
    weights = np.array([[1.27, -1.27, 0.635], [0.0, 0.0, 0.0], [-12.7, 0.1, 0.04]])
    scales = weight_scales(weights, U8)
    assert scales[[0, 2]] == pytest.approx([0.01, 0.1])
    integers = quantise_weights(weights, scales, U8)
    np.testing.assert_array_equal(integers[[0, 2]], [[127, -127, 64], [-127, 1, 0]])
    np.testing.assert_array_equal(integers[1], 0)


def test_reduced_range_uses_seven_bits() -> None:
    grid = Grid(np.dtype("uint8"), 63)
    weights = np.array([[1.27, -1.27]])
    np.testing.assert_array_equal(
        quantise_weights(weights, weight_scales(weights, grid), grid), [[63, -63]]
    )


def test_bias_counts_in_steps_of_input_and_weight_scale() -> None:
    scales = np.array([0.01, 0.02], np.float32)
    np.testing.assert_array_equal(quantise_bias(np.array([1.0, -3.0]), 0.5, scales), [200, -300])


def test_bias_of_a_dead_channel_fits_into_int32() -> None:
    weights, bias = np.array([[1e-9, 0.0]]), np.array([100.0])
    scales = weight_scales(weights, U8, least_scales(bias, 0.01))
    steps = quantise_bias(bias, 0.01, scales)
    assert steps.dtype == np.int32
    assert steps[0] * 0.01 * scales[0] == pytest.approx(100.0, rel=1e-6)


def test_round_trip_on_a_grid_of_four_steps() -> None:
    x = np.array([-2.0, -0.4, 0.0, 0.6, 3.4, 9.0])
    found = round_trip(x, np.array([0.0, -1.0]), np.array([4.0, 3.0]), 4)
    np.testing.assert_allclose(found, [[0, 0, 0, 1, 3, 4], [-1, 0, 0, 1, 3, 3]])


def test_safe_scales_leave_no_pair_of_products_beyond_int16() -> None:
    weights = np.random.default_rng(0).normal(size=(8, 40))
    grid = Grid(np.dtype("uint8"), safe=True)
    scales = weight_scales(weights, grid)
    pairs = quantise_weights(weights, scales, grid).astype(int).reshape(8, 20, 2).sum(axis=2)
    assert 255 * np.abs(pairs).max() <= 2**15 - 1
    assert (scales >= weight_scales(weights, U8)).all()
    assert (scales <= 2.02 * weight_scales(weights, U8)).all()


def test_least_scales_are_those_with_which_a_bias_fits() -> None:
    found = least_scales(np.array([0.0, -(2.0**30), 3 * 2.0**30]), 0.5)
    np.testing.assert_allclose(found, [1e-12, 2.0, 6.0])
