"""Small real teachers, trained in seconds, and the data they were trained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_RECIPE = """
schema = 1
name = "small"
[search]
evaluations = 12
population = 6
measured = 2
speedup = 1.0
shrink = 6.0
batch_size = 32
start = "anew"
[distill]
steps = 150
batch_size = 64
lr = 0.1
views = 2
checkpoint_s = 0
[quant]
samples = 64
"""


@dataclass(frozen=True)
class Trained:
    """A teacher as files, and its data."""

    module: nn.Module
    pt2: Path
    data: Path
    accuracy: float


class VectorTeacher(nn.Sequential):
    """An MLP for 16-dimensional vectors, three classes."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((16, 256), (256, 256), (256, 256)):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        super().__init__(*layers, nn.Linear(256, 3))


class SignalTeacher(nn.Module):
    """A 1-D CNN for two-channel signals of 96 steps, four classes."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((2, 48, 2), (48, 96, 2), (96, 96, 1), (96, 96, 2)):
            layers += [
                nn.Conv1d(inputs, outputs, 5, stride, 2, bias=False),
                nn.BatchNorm1d(outputs),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(96, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean(2))


def vectors(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rings: the class is the distance from the origin in a plane, the other dimensions are noise."""
    y = rng.integers(0, 3, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    x = rng.normal(0, 0.3, (n, 16))
    x[:, 0] += (y + 1) * np.cos(angle)
    x[:, 1] += (y + 1) * np.sin(angle)
    return x.astype(np.float32), y


def signals(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sines of four frequencies, any phase, two channels, noise."""
    y = rng.integers(0, 4, n)
    t = np.arange(96)
    phase = rng.uniform(0, 2 * np.pi, (n, 2, 1))
    x = np.sin(2 * np.pi * (y[:, None, None] + 2) * t / 96 + phase) + rng.normal(0, 0.8, (n, 2, 96))
    return x.astype(np.float32), y


def train(
    module: nn.Module,
    sample: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]],
    folder: Path,
) -> Trained:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, y = sample(1200, rng)
    x_test, y_test = sample(400, rng)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for step in range(80):
        index = torch.arange(step * 128, (step + 1) * 128) % len(inputs)
        loss = nn.functional.cross_entropy(module(inputs[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()
    with torch.no_grad():
        right = module(torch.from_numpy(x_test)).argmax(1).numpy() == y_test
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(module, (inputs[:4],), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "teacher.pt2")
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return Trained(module, folder / "teacher.pt2", folder / "data.npz", 100 * float(right.mean()))


@pytest.fixture(scope="session")
def vector_teacher(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.manual_seed(0)
    return train(VectorTeacher(), vectors, tmp_path_factory.mktemp("vector"))


@pytest.fixture(scope="session")
def signal_teacher(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.manual_seed(0)
    return train(SignalTeacher(), signals, tmp_path_factory.mktemp("signal"))


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(SMALL_RECIPE)
    return path


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where measured latencies of this test session are kept: one machine, one table."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache or state."""
    monkeypatch.setenv("SQUEEZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SQUEEZE_STATE", str(state))
    monkeypatch.setattr(sys, "argv", ["squeeze", "compile"])


@pytest.fixture(scope="session")
def cache_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shared_cache(cache_of_all: Path, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles of one teacher find what others made: its adoption, its measurements, the kept network."""
    monkeypatch.setenv("SQUEEZE_CACHE", str(cache_of_all))
