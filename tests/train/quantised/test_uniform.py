"""Uniform levels: what the method promises of values, errors and gradients, checked against NumPy and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.train.quantised.scaling import cut
from squeeze.train.quantised.uniform import Uniform, quantise, round_levels

BITS = (2, 3, 4)
BUCKETS = ("channel", "tensor", 10)


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_round_levels_of_four_levels_by_hand() -> None:
    u = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.49, 0.51, 0.9, 1.0], dtype=torch.float64)
    assert (3 * round_levels(u, 4)).round().tolist() == [0, 0, 1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_quantise_leaves_few_values_and_the_extremes(bits: int, bucket: str | int) -> None:
    weight = weights(6, 3, 3, 3)
    found = quantise(weight, 1 << bits, bucket=bucket)
    for before, after in zip(cut(weight, bucket), cut(found, bucket), strict=True):
        assert len(np.unique(after.numpy().round(12))) <= 1 << bits
        assert after.min().item() == pytest.approx(before.min().item(), abs=1e-15)
        assert after.max().item() == pytest.approx(before.max().item(), abs=1e-15)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_quantise_errs_by_half_a_step_at_most(bits: int, bucket: str | int) -> None:
    weight = weights(6, 3, 3, 3)
    rows = cut(weight, bucket)
    error = cut(quantise(weight, 1 << bits, bucket=bucket) - weight, bucket).abs().amax(1)
    alpha = rows.amax(1) - rows.amin(1)
    assert (error <= alpha / (2 * ((1 << bits) - 1)) + 1e-12).all()


@pytest.mark.parametrize("scaling", ["linear", "absmax"])
@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_quantise_twice_is_quantise_once(scaling: str, bucket: str | int) -> None:
    once = quantise(weights(6, 3, 3, 3), 8, scaling=scaling, bucket=bucket)
    twice = quantise(once, 8, scaling=scaling, bucket=bucket)
    np.testing.assert_allclose(twice, once, atol=1e-12)


def test_quantise_by_absmax_has_half_the_levels_on_each_side() -> None:
    weight = torch.tensor([[-4.0, -1.2, -0.3, 0.0, 0.9, 2.6, 4.0]])
    # Magnitudes 0, 4/3, 8/3, 4 for 3 bits.
    expected = np.array([-3, -1, 0, 0, 1, 2, 3]) * 4 / 3
    np.testing.assert_allclose(quantise(weight, 8, scaling="absmax")[0], expected, rtol=1e-6)


def test_quantise_stochastically_is_right_on_average() -> None:
    draws, levels = 10_000, 4
    u = torch.tensor([0.0, 0.05, 0.3, 0.5, 0.61, 0.99, 1.0], dtype=torch.float64)
    torch.manual_seed(0)
    found = round_levels(u.expand(draws, -1), levels, "stochastic")
    above = 3 * u - torch.floor(3 * u)
    sigma = torch.sqrt(above * (1 - above)) / 3 / draws**0.5
    assert ((found.mean(0) - u).abs() <= 4 * sigma + 1e-15).all()
    assert (found.var(0) <= 1 / (4 * 9) * 1.05).all()
    assert set((3 * found).round().unique().tolist()) <= {0, 1, 2, 3}


def test_rounding_is_by_chance_in_training_only() -> None:
    weight = weights(4, 30)
    module = Uniform(weight, 2, rounding="stochastic")
    torch.manual_seed(0)
    first, second = module(weight), module(weight)
    assert not torch.equal(first, second)
    module.eval()
    assert torch.equal(module(weight), module(weight))
    np.testing.assert_allclose(module(weight), quantise(weight, 4, bucket="channel"), atol=0.04)


def gradients(
    weight: torch.Tensor, gradient: str, bucket: str | int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(the gradient of the weights, what came from above)."""
    above = weights(*weight.shape, seed=7)
    leaf = weight.clone().requires_grad_()
    (Uniform(weight, 2, gradient=gradient, bucket=bucket)(leaf) * above).sum().backward()
    assert leaf.grad is not None
    return leaf.grad, above


def test_gradient_straight_passes_everything() -> None:
    found, above = gradients(3 * weights(4, 9), "straight", "channel")
    assert torch.equal(found, above)


def test_gradient_truncated_is_zero_beyond_one() -> None:
    weight = torch.tensor([[-1.5, -1.0, 0.2, 1.0, 1.01]], dtype=torch.float64)
    found, above = gradients(weight, "truncated", "channel")
    assert torch.equal(found, above * torch.tensor([[0, 1, 1, 1, 0]]))


@pytest.mark.parametrize("bucket", BUCKETS, ids=str)
def test_gradient_exact_is_that_of_autograd(bucket: str | int) -> None:
    weight = weights(3, 4, 2)  # in buckets of 10 the last one is filled up
    found, above = gradients(weight, "exact", bucket)
    leaf = weight.clone().requires_grad_()
    rows = cut(leaf, bucket)
    beta = rows.amin(1, keepdim=True)
    alpha = rows.amax(1, keepdim=True) - beta
    u = (rows - beta) / alpha
    q = u + (torch.round(3 * u) / 3 - u).detach()
    (
        (alpha * q + beta).reshape(-1)[: weight.numel()].reshape(weight.shape) * above
    ).sum().backward()
    np.testing.assert_allclose(found, leaf.grad, atol=2e-15)


def test_gradient_exact_moves_the_extremes_by_hand() -> None:
    # alpha 1, u = w; on the levels 0, 1/3, 2/3, 1 the errors Q - u are 0, 1/3 - 0.4, 0.
    weight = torch.tensor([[0.0, 0.4, 1.0]], dtype=torch.float64, requires_grad=True)
    above = torch.tensor([[1.0, 3.0, 5.0]], dtype=torch.float64)
    (Uniform(weight.detach(), 2, gradient="exact")(weight) * above).sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad, [[1 + 0.2, 3, 5 - 0.2]], atol=1e-15)
