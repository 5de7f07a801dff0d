"""Two and three values: the closed forms, against NumPy and by search, and their gradients."""

from __future__ import annotations

import numpy as np
import torch

from squeeze.train.quantised.extreme import Binary, Ternary


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_twn_is_its_closed_form() -> None:
    weight = weights(5, 3, 3, 3)
    found = Ternary(weight)(weight).numpy()
    for before, after in zip(weight.numpy().reshape(5, -1), found.reshape(5, -1), strict=True):
        kept = np.abs(before) > 0.7 * np.abs(before).mean()
        expected = np.sign(before) * kept * np.abs(before)[kept].mean()
        np.testing.assert_allclose(after, expected, atol=1e-15)


def test_twn_passes_gradients_straight_through() -> None:
    leaf = weights(2, 7).requires_grad_()
    (Ternary(leaf)(leaf) * weights(2, 7, seed=1)).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, weights(2, 7, seed=1))


def test_ttq_has_two_magnitudes_with_gradients_summed_over_their_sets() -> None:
    # The threshold is 0.05 * 4 = 0.2.
    weight = torch.tensor([[1.0, 3.0, -2.0, 0.1], [-4.0, 0.19, -0.21, 2.0]], dtype=torch.float64)
    above = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], dtype=torch.float64)
    module = Ternary(weight, learned=True)
    assert module.positive.item() == 2.0
    np.testing.assert_allclose(module.negative.item(), 6.21 / 3)
    leaf = weight.requires_grad_()
    found = module(leaf)
    p, n = 2.0, 6.21 / 3
    np.testing.assert_allclose(
        found.detach(), [[p, p, -n, 0], [-n, 0, -n, p]], atol=n / 63 / 2 + 1e-9
    )
    (found * above).sum().backward()
    assert module.positive.grad is not None
    assert module.negative.grad is not None
    assert module.positive.grad.item() == 1 + 2 + 8
    assert module.negative.grad.item() == -(3 + 5 + 7)
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, above)


def test_bwn_is_the_least_squares_optimum() -> None:
    weight = weights(3, 8)
    found = Binary(weight)(weight).numpy()
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T  # all 256
    for before, after in zip(weight.numpy(), found, strict=True):
        # For each choice of signs the best factor is the projection, least squares.
        factors = signs @ before / 8
        errors = ((before - factors[:, None] * signs) ** 2).sum(1)
        np.testing.assert_allclose(((before - after) ** 2).sum(), errors.min(), rtol=1e-12)
        np.testing.assert_allclose(np.abs(after), np.abs(before).mean(), rtol=1e-12)


def test_bwn_gives_no_gradient_beyond_one() -> None:
    leaf = torch.tensor([[-1.2, -1.0, 0.0, 0.5, 1.1]], requires_grad=True)
    Binary(leaf)(leaf).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[0, 1, 1, 1, 0]]


def test_a_weight_of_zero_is_positive() -> None:
    found = Binary(torch.zeros(1, 2))(torch.tensor([[0.0, -2.0]]))
    assert found.tolist() == [[1, -1]]
