"""A newcomer's walk: their own torch model and a folder of images of three classes, by the lines of the README.

The model was trained with ImageNet's mean and deviation, which nobody tells squeeze at first.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import squeeze
from tests import started

image = pytest.importorskip("PIL.Image", reason="pillow is not installed: pip install pillow")

README = (Path(__file__).parents[2] / "README.md").read_text()
CLASSES = ("circle", "ring", "square")
SIZE, EACH = 24, 120
MEAN, STD = np.asarray([0.485, 0.456, 0.406]), np.asarray([0.229, 0.224, 0.225])


def line(beginning: str) -> list[str]:
    """The command of the README that begins so, as a shell splits it."""
    found = re.search(rf"^ *`?({re.escape(beginning)}[^`\n]*)", README, re.MULTILINE) or re.search(
        rf"`({re.escape(beginning)}[^`\n]*)`", README
    )
    assert found, f"the README has no '{beginning}'"
    return shlex.split(found.group(1))[1:]


def picture(rng: np.random.Generator, label: int) -> np.ndarray:
    """A figure, only a little brighter than ImageNet's mean behind it, in noise."""
    y, x = np.mgrid[:SIZE, :SIZE] - rng.uniform(9, 14, 2)[:, None, None]
    radius = rng.uniform(5, 8)
    away = np.hypot(x, y)
    inside = (away < radius, abs(away - radius) < 1.5, np.maximum(abs(x), abs(y)) < radius)[label]
    pixels = 255 * MEAN + 22 * inside[..., None] + rng.normal(0, 5, (SIZE, SIZE, 3))
    return pixels.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Newcomer:
    """A folder with model.pt2, model.onnx, data.npz and pictures/, and the environment of its commands."""

    folder: Path
    environment: Mapping[str, str]

    def does(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return started.run(*arguments, cwd=self.folder, env=self.environment)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    folder = tmp_path_factory.mktemp("newcomer")
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(3), EACH)
    pictures = np.stack([picture(rng, label) for label in labels])
    for i, (pixels, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / "pictures" / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(place / f"{i}.png")
    inputs = ((pictures / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    model = trained(torch.from_numpy(inputs), torch.from_numpy(labels))
    for name in ("model.pt2", "model.onnx"):
        squeeze.save(model, torch.randn(1, 3, SIZE, SIZE), folder / name)
    half = len(labels) * 2 // 3
    train, test = (slice(None, half), slice(half, None))
    np.savez(
        folder / "data.npz",
        x_train=inputs[train],
        y_train=labels[train],
        x_test=inputs[test],
        y_test=labels[test],
    )
    own = {"XDG_CACHE_HOME": str(folder / "cache"), "SQUEEZE_STATE": str(folder / "state")}
    return Newcomer(folder, {**os.environ, **own})


def trained(x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3)),
    )
    learns = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        some = torch.randint(0, len(x), (64,))
        loss = nn.functional.cross_entropy(model(x[some]), y[some])
        learns.zero_grad()
        loss.backward()
        learns.step()
    return model.eval()


def test_lines_of_the_readme_do_what_they_say(newcomer: Newcomer) -> None:
    compiled = newcomer.does(*line("squeeze compile model.pt2 --calib data.npz"))
    assert compiled.returncode == 0, compiled.stderr + compiled.stdout
    assert "goal met" in compiled.stdout
    for beginning in ("squeeze verify out/small", "squeeze profile out/small"):
        done = newcomer.does(*line(beginning))
        assert done.returncode == 0, done.stderr
    quantised = newcomer.does(*line("squeeze quantize model.onnx --calib data.npz"))
    assert quantised.returncode == 0, quantised.stderr
    assert (newcomer.folder / "model_4bit.onnx").is_file()


def test_images_that_are_preprocessed_in_another_way_are_refused_with_the_right_one(
    newcomer: Newcomer,
) -> None:
    arguments = line("squeeze compile model.pt2 --calib data.npz")
    arguments[arguments.index("data.npz")] = "pictures"
    arguments[arguments.index("out/small")] = "out/pictures"
    refused = newcomer.does(*arguments)
    assert refused.returncode == 2, refused.stdout
    assert "the teacher does not work on these data" in refused.stderr
    named = re.search(r"with (--preprocess imagenet|--scale [^(]*) \(", refused.stderr)
    assert named, refused.stderr
    assert not (newcomer.folder / "out" / "pictures").exists()

    done = newcomer.does(*arguments, *named.group(1).split())
    assert done.returncode == 0, done.stderr
    package = squeeze.open(newcomer.folder / "out" / "pictures")
    assert package.manifest["measurements"]["teacher"]["metric"] > 90
    page = (newcomer.folder / "out" / "pictures" / "report.html").read_text()
    for said in ("top-1", *CLASSES):
        assert said in page
    contract = newcomer.does("inspect", "out/pictures/model.onnx")
    assert all(name in contract.stdout for name in CLASSES), contract.stdout
