"""Learned points: where they begin, their gradients, their order, and how levels move between tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from squeeze.train.quantised.codebook import (
    Codebook,
    centred_points,
    nearest,
    sort_points,
)
from squeeze.train.quantised.scaling import cut, scale
from squeeze.train.quantised.uniform import quantise


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_centred_points_find_clusters() -> None:
    centres = np.array([-2.0, -0.5, 0.25, 3.0])
    u = centres.repeat(20) + np.random.default_rng(0).normal(size=80) * 0.01
    expected = u.reshape(4, 20).mean(1)
    np.testing.assert_allclose(centred_points(torch.from_numpy(u), 4), expected, rtol=1e-5)


def test_centred_points_err_less_than_quantiles() -> None:
    u = weights(4000)
    quantiles = torch.from_numpy(np.percentile(u, np.linspace(0, 100, 4)).astype(np.float32))
    errors = [
        float((u - points[nearest(u, points)]).square().mean())
        for points in (centred_points(u, 4), quantiles)
    ]
    # The optimal quantiser of four levels for a normal distribution errs by 0.1175 (Max, 1960).
    assert errors[0] == pytest.approx(0.1175, rel=0.05)
    assert errors[0] < errors[1]


def test_nearest_is_the_least_distance() -> None:
    u, points = weights(500), torch.tensor([-1.1, -0.2, 0.3, 2.0])
    assert torch.equal(nearest(u, points), (u[:, None] - points).abs().argmin(1))


@pytest.mark.parametrize("bucket", ["channel", "tensor", 10], ids=str)
def test_equal_points_are_uniform_levels(bucket: str | int) -> None:
    weight = weights(5, 3, 3, 3)
    module = Codebook(weight, 3, scaling="linear", bucket=bucket)
    with torch.no_grad():
        module.points.copy_(torch.linspace(0, 1, 8))
    found = module(weight).detach()
    step = cut(weight, bucket).abs().amax() / 63  # of the grid that a file has
    expected = quantise(weight, 8, bucket=bucket)
    assert (found - expected).abs().amax() <= step / 2 + 1e-6


@pytest.mark.parametrize("scaling", ["linear", "absmax", "absnorm"])
@pytest.mark.parametrize("bucket", ["channel", "tensor", 10], ids=str)
def test_gradient_of_the_points_is_that_of_autograd(scaling: str, bucket: str | int) -> None:
    weight, above = weights(5, 7).double(), weights(5, 7, seed=3).double()
    module = Codebook(weight, 2, scaling=scaling, bucket=bucket).double()
    leaf = weight.clone().requires_grad_()
    (module(leaf) * above).sum().backward()

    found = scale(weight, scaling, bucket)
    points = module.points.detach().clone().requires_grad_()
    index = nearest(found.u, points.detach())
    rows = found.alpha * points[index] + found.beta
    (rows.reshape(-1)[: weight.numel()].reshape(weight.shape) * above).sum().backward()
    np.testing.assert_allclose(module.points.grad, points.grad, rtol=1e-12)
    # The same as a sum over the weights that are at each point; those that fill up a bucket are not weights.
    alphas = found.alpha.expand_as(found.u).reshape(-1)[: weight.numel()]
    expected = np.zeros(4)
    np.add.at(expected, index.reshape(-1)[: weight.numel()], alphas * above.reshape(-1))
    np.testing.assert_allclose(module.points.grad, expected, rtol=1e-12)
    assert torch.equal(leaf.grad, above)


def test_sort_puts_points_into_order_after_a_step() -> None:
    weight = weights(4, 16)
    module = nn.Sequential(Codebook(weight, 2))
    with torch.no_grad():
        module[0].points.copy_(torch.tensor([0.3, -0.2, 0.1, 0.0]))
    sort_points(module)
    np.testing.assert_allclose(module[0].points.detach(), [-0.2, 0.0, 0.1, 0.3], atol=1e-7)


def test_levels_may_be_other_than_powers_of_two() -> None:
    weight = weights(4, 50)
    module = Codebook(weight, 3, levels=6)
    assert len(module.points) == 6
    assert len(module.integers(weight)[0].unique()) <= 6
