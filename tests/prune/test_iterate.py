"""Rounds are kept when the exported file is faster, and undone when not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.nn import functional

from squeeze import export
from squeeze.measure import latency, ratio
from squeeze.prune import Batch, importance, iterate, macs
from tests.prune.zoo import Head, conv, made, with_statistics

if TYPE_CHECKING:
    from pathlib import Path

L2 = importance("l2")


def same(module: nn.Module) -> nn.Module:
    return module


def test_rounds_are_undone_and_doubled_when_not_faster() -> None:
    module, x = made("residual")
    seen: list[tuple[int, int]] = []
    answers = iter([0.9, 0.99, 0.8])

    def measure(after: nn.Module, before: nn.Module) -> float:
        seen.append((macs(after, x), macs(before, x)))
        return next(answers)

    trained: list[nn.Module] = []

    def train(pruned: nn.Module) -> nn.Module:
        trained.append(pruned)
        return pruned

    found = iterate(module, x, rounds=3, ratio=0.2, score=L2, train=train, measure=measure, align=1)
    assert [r.kept for r in found.rounds] == [True, False, True]
    assert [r.latency_ratio for r in found.rounds] == [0.9, 0.99, 0.8]
    # The second round starts from the first, the third too, and takes what two rounds would.
    assert seen[1][1] == seen[2][1] == seen[0][0]
    assert [after / before for after, before in seen] == pytest.approx([0.8, 0.8, 0.64], abs=0.04)
    assert len(trained) == 2
    assert found.module is trained[1]
    assert [note["kept"] for note in found.notes] == [True, False, True]
    assert "undone, not faster" in found.notes[1]["why"]
    assert found.notes[1]["numbers"]["ratio"] == 0.99


def test_module_stays_when_no_round_helps() -> None:
    module, x = made("perceptron")
    found = iterate(module, x, rounds=2, ratio=0.2, score=L2, train=same, measure=lambda a, b: 1.0)
    assert found.module is module
    assert not any(note["kept"] for note in found.notes)


def test_rounds_end_when_nothing_is_left_to_remove() -> None:
    module, x = made("perceptron")
    found = iterate(
        module, x, rounds=9, ratio=0.5, score=L2, train=same, measure=lambda a, b: 0.5, align=16
    )
    assert "every layer is at its narrowest" in found.notes[-1]["why"]
    assert len(found.rounds) < 9


def test_round_is_undone_when_it_cannot_be_exported() -> None:
    module, x = made("perceptron")
    found = iterate(
        module,
        x,
        rounds=1,
        ratio=0.3,
        score=L2,
        train=same,
        measure=lambda a, b: 0.5,
        export_ok=lambda m: False,
    )
    assert found.module is module
    assert "cannot be exported" in found.notes[0]["why"]


def test_file_is_faster_and_the_loss_recovers_when_rounds_are_real(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = with_statistics(nn.Sequential(conv(3, 64), conv(64, 64), conv(64, 64), Head(64)))
    x = torch.randn(16, 3, 16, 16)
    with torch.no_grad():
        logits = teacher(x)

    def distance(module: nn.Module) -> torch.Tensor:
        return functional.mse_loss(module(x), logits)

    history: list[tuple[float, float]] = []

    def train(pruned: nn.Module) -> nn.Module:
        before = float(distance(pruned).detach())
        optimiser = torch.optim.Adam(pruned.parameters(), 1e-4)
        for _ in range(20):
            optimiser.zero_grad()
            distance(pruned).backward()
            optimiser.step()
        history.append((before, float(distance(pruned).detach())))
        return pruned

    def measure(after: nn.Module, before: nn.Module) -> float:
        paths = {}
        for name, module in {"after": after, "before": before}.items():
            paths[name] = tmp_path / f"{name}.onnx"
            model = export.to_ir(module, x[:1].numpy(), input_name="x", output_name="y")
            ir.save(model, paths[name])
        times = latency(paths, x[:1].numpy(), runs=60)
        return ratio(times["after"], times["before"])

    score = partial(importance("distillation"), batches=[Batch(x, None, logits)], loss=None)
    found = iterate(teacher, x, rounds=1, ratio=0.6, score=score, train=train, measure=measure)
    (only,) = found.rounds
    assert only.kept
    assert only.latency_ratio < 0.9
    assert history[0][1] < history[0][0]
    assert macs(found.module, x) < 0.5 * macs(teacher, x)
