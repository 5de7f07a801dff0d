"""Steps of the optimiser: the loss falls, what a method keeps fixed stays, equal starts give equal weights."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from squeeze.losses import LOSSES, Loss
from squeeze.outputs import Outputs
from squeeze.train import loop
from squeeze.train.batches import Batch
from squeeze.train.checkpoint import Checkpoint
from squeeze.train.quantised.codebook import Codebook
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.settings import Method, Settings
from squeeze.train.quantised.trainer import TURNS, Trainer
from tests.quant.families import inputs
from tests.quant.families import model as family
from tests.train.quantised.nets import quantised, run, trainable

STEPS = 24


def loss() -> Loss:
    return LOSSES["kd"](temperature=2.0, label_weight=0.0)


def trainer_of(network: QuantNetwork, steps: int, peak: float, method: str) -> Trainer:
    settings = Settings(steps, peak, 48, method=method)  # type: ignore[arg-type]
    return Trainer(network, loss(), settings)


def train_from(trainer: Trainer, x: Tensor, teacher: Tensor, first: int, last: int) -> list[float]:
    """The losses of these steps, all on one batch."""
    course = loop.Course(last, 48, 0, 100, 0.05, "quant.lr")
    batch = Batch(x, Outputs(teacher), None)
    return [found.item() for found in loop.steps(trainer, lambda step: batch, course, first)]


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
    return train_from(trainer_of(network, steps, 0.05, method), x, teacher, 0, steps)


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
    trainer = trainer_of(network, steps, 0.1, "mixed")
    turns = []
    for step in range(steps):
        trainer.begin(step)
        learns = (float(trainer.rates["weights"]) > 0, float(trainer.point_rates[0]) > 0)
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


def test_slopes_are_not_made_smaller_as_weights_are() -> None:
    network = trainable(family("sloped"), inputs("sloped", 8))
    trainer = trainer_of(network, STEPS, 0.05, "quantised-distillation")
    assert trainer.sgd is not None
    slopes = {id(p) for p in network.learned_floats().values()}
    decays = {
        id(p): group.get("weight_decay")
        for group in trainer.sgd.param_groups
        for p in group["params"]
    }
    # One of them is [c, 1, 1], as many axes as weights have.
    assert any(p.ndim > 1 for p in network.learned_floats().values())
    assert {decays[p] for p in slopes} == {0}
    assert all(decays[id(network.layers[name].weight)] > 0 for name in network.weighted)


def test_rates_rise_and_fall() -> None:
    network, _, _ = start()
    trainer = trainer_of(network, 100, 0.2, "quantised-distillation")
    rates = []
    for step in range(100):
        trainer.begin(step)
        rates.append(float(trainer.rates["weights"]))
    np.testing.assert_allclose(rates[:5], 0.2 * np.arange(1, 6) / 5, rtol=1e-6)
    expected = 0.1 * (1 + np.cos(np.pi * np.arange(95) / 95))
    np.testing.assert_allclose(rates[5:], expected, rtol=1e-5, atol=1e-8)


def test_training_goes_on_from_its_state_to_the_same_bits() -> None:
    whole, x, teacher = start()
    train_from(trainer_of(whole, 6, 0.05, "mixed"), x, teacher, 0, 6)

    first, _, _ = start()
    before = trainer_of(first, 6, 0.05, "mixed")
    train_from(before, x, teacher, 0, 3)
    second, _, _ = start()
    after = trainer_of(second, 6, 0.05, "mixed")
    after.restore(Checkpoint(3, before.state(), []))
    train_from(after, x, teacher, 3, 6)
    assert same(whole.state_dict(), second.state_dict())
