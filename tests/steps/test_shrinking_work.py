"""Samples that a teacher is made smaller by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import squeeze
from squeeze import steps
from squeeze.steps.shrinking_work import seen_of
from tests.steps.conftest import a_run


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize(("side", "count"), [(8, 100), (512, 32)])
def test_large_samples_are_fewer(side: int, count: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    squeeze.save(Pooled().eval(), torch.randn(1, 1, side, side), tmp_path / "net.onnx")
    x = np.random.default_rng(0).random((200, 1, side, side), np.float32)
    np.savez(tmp_path / "data.npz", x_train=x[:100], x_test=x[100:])
    run = a_run(tmp_path / "work")
    case = steps.load(run, str(tmp_path / "net.onnx"), None, str(tmp_path / "data.npz"), None)
    seen = seen_of(case, 1)
    assert sum(len(batch.x) for batch in seen.fit) == min(count, len(case.data.fit))
    assert len(seen.held.x) == min(count, len(case.data.calibrate))
