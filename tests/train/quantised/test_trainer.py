"""Steps of the optimiser: the loss falls, what a method keeps fixed stays, equal starts give equal weights."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from squeeze.losses import LOSSES
from squeeze.train.quantised.codebook import Codebook
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.trainer import TURNS, Method, Trainer
from tests.quant.families import inputs
from tests.quant.families import model as family
from tests.train.quantised.nets import quantised, run, trainable

STEPS = 24


def loss() -> nn.Module:
    return LOSSES["kd"](temperature=2.0, label_weight=0.0)


def start(kind: str = "codebook", bits: int = 2) -> tuple[QuantNetwork, Tensor, Tensor]:
    """A network of few bits, inputs, and the logits of the float network, its teacher."""
    x = inputs("depthwise", 48)
    network = trainable(family("depthwise"), x)
    quantised(network, kind, bits, x)
    teacher = 6 * run(family("depthwise"), x)
    return network.train(), torch.from_numpy(x), torch.from_numpy(teacher)


def train(
    network: QuantNetwork, x: Tensor, teacher: Tensor, method: str, steps: int = STEPS
) -> list[float]:
    trainer = Trainer(network, loss())
    found = []
    for step in range(steps):
        trainer.set_rates(step, steps=steps, peak=0.05, method=method)
        found.append(trainer.step(x, teacher, None).item())
    return found


def weights(network: QuantNetwork) -> dict[str, Tensor]:
    """What belongs to the weights: those of layers, biases and normalisation."""
    return {
        name: p.detach().clone()
        for name, p in network.named_parameters()
        if name.startswith(("layers", "norms"))
    }


def points(network: QuantNetwork) -> list[Tensor]:
    return [m.points.detach().clone() for m in network.modules() if isinstance(m, Codebook)]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["codebook", "lsq", "ternary", "uniform"])
def test_the_loss_falls(kind: str) -> None:
    found = train(*start(kind), "quantised-distillation")
    assert np.mean(found[-4:]) < 0.5 * np.mean(found[:2])


def test_the_loss_falls_when_only_points_learn() -> None:
    found = train(*start(), "differentiable", 2 * STEPS)
    assert np.mean(found[-4:]) < 0.97 * np.mean(found[:2])


def test_differentiable_leaves_the_weights_to_the_bit() -> None:
    network, x, teacher = start()
    before, before_points = weights(network), points(network)
    train(network, x, teacher, "differentiable", 6)
    assert same(before, weights(network))
    for a, b in zip(before_points, points(network), strict=True):
        assert not torch.equal(a, b)
        assert torch.equal(b, b.sort().values)


def test_quantised_distillation_leaves_the_points_to_the_bit() -> None:
    network, x, teacher = start()
    before, before_points = weights(network), points(network)
    train(network, x, teacher, "quantised-distillation", 6)
    assert all(torch.equal(a, b) for a, b in zip(before_points, points(network), strict=True))
    after = weights(network)
    assert all(not torch.equal(before[name], after[name]) for name in before if "layers" in name)


@pytest.mark.parametrize("steps", [1, 2, 5, 7, 24, 100])
def test_mixed_ends_with_the_weights(steps: int) -> None:
    network, _, _ = start()
    trainer = Trainer(network, loss())
    turns = []
    for step in range(steps):
        trainer.set_rates(step, steps=steps, peak=0.1, method="mixed")
        learns = (float(trainer.rate["weights"]) > 0, float(trainer.point_rates[0]) > 0)
        assert sorted(learns) == [False, True]  # one of the two
        turns.append(learns[0])
    assert turns[-1]
    if steps >= 2 * TURNS:
        assert not turns[0]
        assert sum(a != b for a, b in pairwise(turns)) == TURNS - 1
        assert sum(turns) == pytest.approx(steps / 2, abs=TURNS)


def test_mixed_moves_both() -> None:
    network, x, teacher = start()
    before, before_points = weights(network), points(network)
    train(network, x, teacher, "mixed", 12)
    assert not same(before, weights(network))
    assert not torch.equal(before_points[0], points(network)[0])


@pytest.mark.parametrize("method", get_args(Method))
def test_equal_starts_give_equal_weights(method: str) -> None:
    states = []
    for _ in range(2):
        network, x, teacher = start()
        train(network, x, teacher, method, 4)
        states.append(network.state_dict())
    assert same(*states)


def test_rates_rise_and_fall() -> None:
    network, _, _ = start()
    trainer = Trainer(network, loss())
    rates = []
    for step in range(100):
        trainer.set_rates(step, steps=100, peak=0.2, method="quantised-distillation")
        rates.append(float(trainer.rate["weights"]))
    np.testing.assert_allclose(rates[:5], 0.2 * np.arange(1, 6) / 5, rtol=1e-6)
    expected = 0.1 * (1 + np.cos(np.pi * np.arange(95) / 95))
    np.testing.assert_allclose(rates[5:], expected, rtol=1e-5, atol=1e-8)


def test_training_goes_on_from_its_state_to_the_same_bits() -> None:
    whole, x, teacher = start()
    train_from(Trainer(whole, loss()), x, teacher, 0, 6)

    first, _, _ = start()
    before = Trainer(first, loss())
    train_from(before, x, teacher, 0, 3)
    second, _, _ = start()
    after = Trainer(second, loss())
    second.load_state_dict(first.state_dict())
    after.restore(before.state())
    train_from(after, x, teacher, 3, 6)
    assert same(whole.state_dict(), second.state_dict())


def train_from(trainer: Trainer, x: Tensor, teacher: Tensor, first: int, last: int) -> None:
    for step in range(first, last):
        trainer.set_rates(step, steps=6, peak=0.05, method="mixed")
        trainer.step(x, teacher, None)
