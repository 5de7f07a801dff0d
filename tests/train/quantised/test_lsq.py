"""Learned steps: values and gradients by hand, and where the steps begin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.train.quantised.lsq import LsqActivation, LsqWeight


def weight_module(steps: list[float], bits: int, width: int) -> LsqWeight:
    module = LsqWeight(torch.ones(len(steps), width, dtype=torch.float64), bits)
    module.step = torch.nn.Parameter(torch.tensor(steps, dtype=torch.float64))
    return module


@pytest.mark.parametrize(
    ("bits", "low", "high"), [(2, -2, 1), (3, -4, 3), (4, -8, 7), (7, -63, 63), (8, -63, 63)]
)
def test_grid_of_the_weights(bits: int, low: int, high: int) -> None:
    module = weight_module([0.5], bits, 3)
    found, scale = module.integers(torch.tensor([[-1e3, 0.2, 1e3]], dtype=torch.float64))
    assert found.tolist() == [[low, 0, high]]
    assert scale.tolist() == [0.5]


def test_gradients_of_weights_by_hand() -> None:
    # Steps 0.5 and 0.25, integers -4..3: inside, inside, above, below.
    weight = torch.tensor([[0.6, -0.9, 9.0, -9.0], [0.3, 0.1, 0.5, 7.0]], dtype=torch.float64)
    above = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], dtype=torch.float64)
    module = weight_module([0.5, 0.25], 3, 4)
    leaf = weight.requires_grad_()
    found = module(leaf)
    np.testing.assert_allclose(
        found.detach(), [[0.5, -1.0, 1.5, -2.0], [0.25, 0.0, 0.5, 0.75]], atol=1e-15
    )
    (found * above).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[1, 2, 0, 0], [5, 6, 7, 0]]
    gain = 1 / np.sqrt(4 * 3)  # 1 / sqrt(n * q_p)
    first = 1 * (1 - 1.2) + 2 * (-2 + 1.8) + 3 * 3 + 4 * -4
    second = 5 * (1 - 1.2) + 6 * (0 - 0.4) + 7 * (2 - 2) + 8 * 3
    np.testing.assert_allclose(module.step.grad, [first * gain, second * gain], rtol=1e-12)


def test_what_is_beyond_the_last_integer_is_outside() -> None:
    module = weight_module([1.0], 3, 4)  # integers -4..3
    leaf = torch.tensor([[3.4, 2.9, -4.4, -3.9]], dtype=torch.float64, requires_grad=True)
    module(leaf).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[0, 1, 0, 1]]
    assert module.step.grad is not None
    expected = (3 + (3 - 2.9) - 4 + (-4 + 3.9)) / np.sqrt(4 * 3)
    assert module.step.grad.item() == pytest.approx(expected)


def test_gradient_of_the_step_is_zero_for_weights_on_the_grid() -> None:
    module = weight_module([0.25], 4, 5)
    weight = 0.25 * torch.tensor([[-8.0, -3.0, 0.0, 2.0, 7.0]], dtype=torch.float64)
    (module(weight) * torch.tensor([[3.0, 1.0, 4.0, 1.0, 5.0]])).sum().backward()
    assert module.step.grad is not None
    assert module.step.grad.item() == 0


def test_steps_begin_where_the_error_is_least() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 400))) * torch.tensor(
        [[1.0], [0.1], [5.0]], dtype=torch.float64
    )
    module = LsqWeight(rows, 2)
    for row, step in zip(rows.numpy(), module.step.tolist(), strict=True):
        shares = np.linspace(0.15, 1, 500) * np.abs(row).max()
        errors = [
            ((np.clip(np.rint(row / s), -2, 1) * s - row) ** 2).mean() for s in (*shares, step)
        ]
        assert errors[-1] <= 1.01 * min(errors)


def test_a_channel_of_zeros_stays_finite() -> None:
    module = LsqWeight(torch.zeros(2, 9), 4)
    found = module(torch.zeros(2, 9, requires_grad=True))
    found.sum().backward()
    assert found.abs().max() == 0
    assert module.step.grad is not None
    assert module.step.grad.isfinite().all()


def test_kernels_of_one_channel_keep_their_layout() -> None:
    # Else the images that a first layer makes are no longer channels-last, and every layer behind it takes longer.
    weight = torch.randn(4, 1, 3, 3).to(memory_format=torch.channels_last)
    assert LsqWeight(weight, 4)(weight).stride() == weight.stride() == (9, 1, 3, 1)


def test_activations_round_as_the_runtime_does() -> None:
    module = LsqActivation(0.5, 3, 0, 255)
    x = torch.tensor([[-9.0, -1.5, -0.25, 0.25, 0.75, 500.0]])
    # round(x / 0.5), half to even, + 3, within 0..255, - 3
    expected = 0.5 * np.array([[-3, -3, 0, 0, 2, 252]])
    np.testing.assert_array_equal(module(x).detach(), expected)
    assert module.grid() == (0.5, 3)


def test_gradients_of_activations_by_hand() -> None:
    module = LsqActivation(0.5, 2, 0, 7, learn_zero=True).double()
    # Integers before the limits: 3, 1, 22, -8 (inside, inside, above, below).
    x = torch.tensor([[0.6, -0.4, 10.0, -5.0]], dtype=torch.float64, requires_grad=True)
    above = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    (module(x) * above).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 2, 0, 0]]
    gain = 1 / np.sqrt(4 * 7)
    step = 1 * (1 - 1.2) + 2 * (-1 + 0.8) + 3 * (7 - 2) + 4 * (0 - 2)
    assert module.step.grad is not None
    assert module.zero.grad is not None
    assert module.step.grad.item() == pytest.approx(step * gain)
    assert module.zero.grad.item() == pytest.approx(-0.5 * (3 + 4) * gain)


def test_the_zero_point_of_a_tensor_from_zero_on_stays() -> None:
    module = LsqActivation(0.1, 0, 0, 255)
    module(torch.rand(3, 4)).sum().backward()
    assert module.zero.grad is None
    assert module.step.grad is not None


def test_a_switched_off_grid_changes_nothing() -> None:
    module = LsqActivation(0.5, 0, 0, 255)
    module.enabled = False
    x = torch.randn(2, 3)
    assert module(x) is x


def test_the_ends_of_a_grid_are_inside_in_half_precision() -> None:
    module = LsqActivation(1.0, 55, 0, 255, learn_zero=True)
    x = torch.tensor([[-56.0, -55.0, 200.0, 201.0]], dtype=torch.bfloat16, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 1, 0]]
