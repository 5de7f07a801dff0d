"""Levels that move between layers: the rule by hand, the norms by finite differences, and what ends up in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from squeeze.guides import cache_answers
from squeeze.losses import Loss
from squeeze.outputs import Outputs
from squeeze.progress import Progress
from squeeze.train.batches import Batch
from squeeze.train.compute import Compute
from squeeze.train.quantised.door import to_qdq
from squeeze.train.quantised.plan import plan
from squeeze.train.quantised.quantise import train_quantised
from squeeze.train.quantised.redistribution import gradient_norms, redistribute
from squeeze.train.quantised.settings import Settings, Source
from squeeze.train.quantised.trainer import Trainer
from tests.train import samples
from tests.train.quantised.nets import trainable
from tests.train.quantised.test_door import wide


def test_redistribute_by_hand() -> None:
    # 24 levels: 4 stay with each of three tensors, 12 are shared as 1 : 2 : 3.
    assert redistribute([8, 8, 8], [1.0, 2.0, 3.0]) == [6, 8, 10]


def test_redistribute_takes_a_surplus_from_the_largest() -> None:
    # 2 stay with each of four, 8 are shared by quarters of 1.5, 2.5, 2.5, 1.5: round gives 2, 2, 2, 2.
    assert sum(redistribute([4, 4, 4, 4], [1.5, 2.5, 2.5, 1.5])) == 16
    # 3 shared as 1.5 and 1.5 are rounded up to 4: one too many.
    assert sorted(redistribute([3, 4], [1.0, 1.0])) == [3, 4]


def test_redistribute_keeps_the_sum_and_follows_the_norms() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        count = int(rng.integers(1, 9))
        levels = [int(n) for n in rng.choice([4, 8, 16], count)]
        norms = rng.uniform(0.1, 5, count).tolist()
        found = redistribute(levels, norms)
        assert sum(found) == sum(levels)
        assert min(found) >= 2
        for a in range(count):
            for b in range(count):
                if levels[a] == levels[b] and norms[a] > norms[b]:
                    assert found[a] >= found[b] - 1  # one may have gone for rounding


def test_redistribute_without_gradients_keeps_the_sum() -> None:
    assert sum(redistribute([4, 8], [0.0, 0.0])) == 12


def test_redistribute_gives_no_tensor_more_than_an_index_can_say() -> None:
    assert redistribute([16, 8, 8], [10.0, 1.0, 1.0]) == [16, 8, 8]
    assert redistribute([16, 16], [5.0, 1.0]) == [16, 16]


class Squares(Loss):
    """Half the sum of squares, in the precision of its inputs."""

    space = "values"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        return (student.logits - teacher.logits).square().sum() / 2


def test_gradient_norms_are_slopes_of_the_loss() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 3, 8, 8)).astype(np.float32))
    network = trainable(wide(8), x.numpy()).double()
    batch = Batch(x.double(), Outputs(torch.zeros(16, 5, dtype=torch.float64)), None)
    trainer = Trainer(network, loss=Squares(), settings=Settings(4, 0.1, 16), dtype=torch.float64)
    weights = [network.weight(layer) for layer in network.weighted]
    norms = gradient_norms(trainer, weights, lambda step: batch)

    def loss() -> float:
        with torch.no_grad():
            return trainer.loss(trainer.outputs(batch.x), batch.answers, None).item()

    for weight, norm in zip(weights, norms, strict=True):
        # Along its gradient a loss rises by the gradient's norm.
        found = trainer.loss(trainer.outputs(batch.x), batch.answers, None)
        (gradient,) = torch.autograd.grad(found, weight)
        step = 1e-3 * gradient / gradient.norm()
        with torch.no_grad():
            weight.add_(step)
            above = loss()
            weight.sub_(2 * step)
            slope = (above - loss()) / 2e-3
            weight.add_(step)
        assert norm == pytest.approx(slope, rel=1e-3)


def levels_of_the_file(folder: Path, *, redistributed: bool) -> list[int]:
    """How many different integers each inner layer of a trained file has."""
    data, part = samples.calib(shape=(3, 8, 8), classes=5), samples.part()
    teacher = samples.linear_teacher(folder, (3, 8, 8), 5)
    answers = folder / "answers"
    cache_answers(teacher, data, part, seed=0, threads=1, folder=answers, progress=Progress())
    inner = plan(wide()).weighted[1:-1]
    found = train_quantised(
        wide(),
        dict.fromkeys(inner, 3),
        Settings(6, 0.01, 16, quantiser="codebook", redistribute=redistributed),
        Source(data, part, answers, 0, "none"),
        compute=Compute.choose("cpu", "fp32"),
        threads=1,
        folder=folder / "training",
        progress=Progress(),
    )
    file = to_qdq(wide(), found, "uint8")
    stored = [
        value.const_value.numpy()
        for value in file.graph.initializers.values()
        if value.const_value is not None
    ]
    return [len(np.unique(w)) for w in stored if w.dtype == np.int8 and w.shape == (64, 64, 3, 3)]


def test_the_file_has_the_levels_that_were_moved(tmp_path: Path) -> None:
    plain = levels_of_the_file(tmp_path / "plain", redistributed=False)
    moved = levels_of_the_file(tmp_path / "moved", redistributed=True)
    assert plain == [8, 8]
    assert sum(moved) == 16
    assert moved[0] != moved[1]
