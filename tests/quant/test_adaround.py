"""AdaRound: its starting point, its end, and errors against exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze.quant.weights.adaround import adaround, best_scales, errors, soft_rounding, start
from squeeze.quant.weights.gram import Gram
from squeeze.quant.weights.levels import Levels, choose, full, nearest, neighbours

Wide = NDArray[np.float64]


def correlated(k: int, groups: int = 1, seed: int = 0, mean: float = 0.0) -> Gram:
    """Of inputs that share a common part, as behind a ReLU."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(groups, 500, k)) + 2 * rng.normal(size=(groups, 500, 1)) + mean
    return Gram(x.mean(axis=1), np.einsum("gnk,gnl->gkl", x, x) / 500)


def layer(o: int, k: int, bits: int = 2, seed: int = 1) -> tuple[Wide, Levels]:
    weights = np.random.default_rng(seed).normal(size=(o, k))
    return weights, choose(weights, bits)


def soft(weights: Wide, levels: Levels, gram: Gram, iterations: int) -> NDArray[np.float32]:
    below, above = (n[None] for n in neighbours(weights, levels))
    scales = levels.scales.astype(np.float64)[None]
    unit = errors(nearest(weights, levels) * scales[:, :, None] - weights, gram.covariance)
    return soft_rounding(weights[None], below, above, scales, gram.covariance, unit, iterations)


def test_start_is_where_the_weight_is() -> None:
    fractions = np.linspace(0, 1, 11)
    stretched = 1.2 / (1 + np.exp(-start(fractions))) - 0.1
    np.testing.assert_allclose(stretched, fractions, atol=1e-12)


def test_rounding_the_start_is_rounding_to_nearest() -> None:
    weights, levels = layer(4, 20, bits=4)
    below, above = neighbours(weights, levels)
    h = soft(weights, levels, correlated(20), 0)[0]
    np.testing.assert_array_equal(np.where(h >= 0.5, above, below), nearest(weights, levels))


@pytest.mark.parametrize("bits", [4, 2])
def test_after_annealing_every_weight_is_on_a_level(bits: int) -> None:
    weights, levels = layer(8, 60, bits)
    h = soft(weights, levels, correlated(60), 500)
    assert ((h == 0) | (h == 1)).mean() > 0.999
    assert adaround(weights, levels, correlated(60)).soft < 1e-3


def test_inputs_without_correlation_are_rounded_to_nearest() -> None:
    """With the identity as moments each weight is alone."""
    weights, levels = layer(4, 30, bits=3)
    alone = Gram(np.zeros((1, 30)), np.eye(30)[None])
    found = adaround(weights, levels, alone)
    np.testing.assert_array_equal(found.integers, nearest(weights, levels))


def test_error_is_near_the_best_of_all_roundings() -> None:
    weights, levels = layer(3, 10, bits=3)
    gram = correlated(10)
    below, above = neighbours(weights, levels)
    found = adaround(weights, levels, gram)
    for o in range(3):
        choices = np.array(list(product([0, 1], repeat=10)))
        tried = np.where(choices, above[o], below[o]) * float(levels.scales[o]) - weights[o]
        squares = np.einsum("nk,kl,nl->n", tried, gram.covariance[0], tried)
        assert found.after[o] <= 1.3 * squares.min()


@pytest.mark.parametrize("biased", [False, True], ids=["no-bias", "bias"])
@pytest.mark.parametrize("bits", [4, 3, 2])
def test_no_channel_is_further_than_to_nearest_and_the_errors_are_true(
    bits: int, *, biased: bool
) -> None:
    """Against outputs over columns whose moments are those of the matrix."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(400, 40)) + rng.normal(size=(400, 1)))
    gram = Gram(x.mean(axis=0)[None], (x.T @ x)[None] / 400)
    weights, levels = layer(6, 40, bits)
    found = adaround(weights, levels, gram, biased=biased)
    assert (found.after <= found.before).all()
    assert found.after.sum() < 0.85 * found.before.sum()
    real = found.integers * found.scales.astype(np.float64)[:, None]
    outputs = x @ (real - weights).T + found.bias_shift
    np.testing.assert_allclose((outputs**2).mean(axis=0), found.after, rtol=1e-3, atol=1e-9)
    if not biased:
        assert not found.bias_shift.any()


def test_groups_are_rounded_apart() -> None:
    weights, levels = layer(6, 12, bits=3)
    gram = correlated(12, groups=2)
    found = adaround(weights, levels, gram)
    for g in range(2):
        part = slice(3 * g, 3 * g + 3)
        alone = adaround(
            weights[part],
            Levels(levels.integers, levels.scales[part]),
            Gram(gram.mean[g : g + 1], gram.moments[g : g + 1]),
        )
        np.testing.assert_array_equal(found.integers[part], alone.integers)


def test_eight_bits_stay_within_the_limit_and_come_nearer() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 50))
    levels = full((np.abs(weights).max(axis=1) / 127).astype(np.float32), 127)
    found = adaround(weights, levels, correlated(50))
    assert np.abs(found.integers.astype(int)).max() <= 127
    assert found.after.sum() < 0.5 * found.before.sum()


def test_shape_of_a_convolution_is_kept_and_levels_stay_few() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 4, 3, 3))
    levels = choose(weights, 2, "codebook")
    found = adaround(weights, levels, correlated(36))
    assert found.integers.shape == weights.shape
    assert set(np.unique(found.integers)) <= set(levels.integers[0].tolist())
    assert found.scales.shape == found.bias_shift.shape == (5,)


def test_best_scale_is_where_the_error_is_least() -> None:
    weights, levels = layer(3, 15)
    gram, integers = correlated(15), nearest(weights, levels)[None]
    scales = levels.scales.astype(np.float64)[None]
    best = best_scales(weights[None], integers, gram.moments, scales, np.zeros((1, 3)))
    tried = np.linspace(0.9, 1.1, 201)[:, None, None] * best
    squares = np.array(
        [errors(integers * s[:, :, None] - weights[None], gram.moments)[0] for s in tried]
    )
    np.testing.assert_array_equal(squares.argmin(axis=0), [100, 100, 100])


def test_layer_that_saw_nothing_is_rounded_to_nearest() -> None:
    weights, levels = layer(3, 15)
    nothing = Gram(np.zeros((1, 15)), np.zeros((1, 15, 15)))
    found = adaround(weights, levels, nothing)
    np.testing.assert_array_equal(found.integers, nearest(weights, levels))
    assert not found.after.any()
