"""MI-alpha between a part and its teacher: against the handbook's bounds, by hand, and in a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from squeeze.losses import LOSSES
from squeeze.train.supernet.information import Critic
from squeeze.train.supernet.learner import SuperLM, sandwich
from squeeze.train.supernet.objective import Objective
from tests.train.supernet.test_training import FP32, PART, SPACE, problem

if TYPE_CHECKING:
    from pathlib import Path


def states(width: int, seed: int) -> torch.Tensor:
    return torch.randn(6, 5, width, generator=torch.Generator().manual_seed(seed))


MASK = (torch.arange(5) < torch.tensor([[5], [4], [3], [2], [1], [5]])).float()


def test_bound_of_a_narrow_part_is_as_numpy_says() -> None:
    critic = Critic(8, 12, 0.3, seed=0)
    with torch.no_grad():
        critic.log_q.fill_(0.4)
        found = float(critic(states(6, 1), states(12, 2), MASK))
    ours, theirs = critic.ours.detach().double().numpy()[:, :6], critic.theirs.detach().numpy()
    mask = MASK.numpy()
    unit = []
    for x, weight in ((states(6, 1), ours), (states(12, 2), theirs)):
        mean = (x.double().numpy() * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        projected = mean @ weight.T
        unit.append(projected / np.linalg.norm(projected, axis=1, keepdims=True))
    f = np.exp(unit[0] @ unit[1].T / 0.1)
    d = 0.3 * f.mean(0) + 0.7 * math.exp(0.4)
    wanted = 1 + np.log(np.diag(f) / d).mean() - (f / d).mean()
    assert found == pytest.approx(-wanted, rel=1e-4)


def test_alpha_of_one_is_at_most_the_logarithm_of_the_batch() -> None:
    critic = Critic(12, 12, 1.0, seed=0)
    with torch.no_grad():
        critic.ours.copy_(critic.theirs)
        same = float(critic(states(12, 1), states(12, 1), MASK))
    assert -math.log(6) <= same < -1


def test_padding_is_left_out() -> None:
    critic, one = Critic(8, 8, 0.9, seed=0), states(8, 1)
    other = torch.where(MASK[:, :, None] > 0, one, 99.0)
    with torch.no_grad():
        assert torch.equal(critic(one, one, MASK), critic(other, other, MASK))


def test_critic_learns_with_the_parts_and_they_are_compared_without_it(tmp_path: Path) -> None:
    shared, told, held = problem(tmp_path)
    children = SPACE.children(shared.params)
    losses = []
    for weight in (0.0, 0.5):
        part = PART.model_copy(update={"information": weight})
        objective = Objective(LOSSES["cosine"]())
        learner = SuperLM(shared, children, told, held, objective, part, FP32, steps=2, seed=0)
        losses.append(learner.held_loss(children[0], learner.held_batches()))
    assert losses[0] == losses[1]
    assert learner.critic is not None
    before = learner.critic.ours.detach().clone()
    learner.begin(0)
    sandwich(learner, learner.batch_at(0), 0)
    assert not torch.equal(before, learner.critic.ours)
    names = set(learner.state()["model"])
    assert {"critic.ours", "critic.theirs", "critic.log_q"} <= names
    assert not any(name.startswith("critic") for name in learner.finished())
