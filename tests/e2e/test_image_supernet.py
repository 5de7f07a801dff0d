"""A vision transformer of a Hugging Face folder: one network of its parts, trained once, and a package from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
import torch

from squeeze.verification import verify
from tests import started
from tests.cli.run import Json, only_object
from tests.teacher.hf.folders import save

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("transformers", reason="transformers: pip install squeeze[hf]")

SETTINGS = {
    "image_size": 12,
    "patch_size": 4,
    "num_channels": 3,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "initializer_range": 0.1,
    "num_labels": 4,
}
RECIPE = """
schema = 1
name = "few"
[goal]
max_drop = 100.0
[supernet]
steps = 4
further = 2
batch_size = 8
[quant]
samples = 16
steps = 0
"""


@pytest.fixture
def made(tmp_path: Path) -> tuple[str, str]:
    """The folder, and data whose labels are what transformers answers."""
    network = save(tmp_path / "net", "ViT", "ForImageClassification", SETTINGS)
    random = np.random.default_rng(0)
    x = random.normal(size=(160, 3, 12, 12)).astype(np.float32)
    x += random.normal(size=(4, 3, 12, 12)).astype(np.float32)[np.arange(160) % 4]
    with torch.no_grad():
        y = network(pixel_values=torch.from_numpy(x)).logits
        y = (y - y.mean(0)).argmax(1)  # every class is there
        network.classifier.bias.sub_(network(pixel_values=torch.from_numpy(x)).logits.mean(0))
    network.save_pretrained(tmp_path / "net")
    np.savez(tmp_path / "images.npz", x=x, y=y.numpy())
    return str(tmp_path / "net"), str(tmp_path / "images.npz")


def run(*arguments: str) -> Json:
    """What a command says with --json."""
    done = started.run(*arguments, "--json", "--threads", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    return only_object(done.stdout)


def test_network_is_trained_once_and_a_device_is_served_from_it(
    made: tuple[str, str], tmp_path: Path
) -> None:
    net, data = made
    recipe = tmp_path / "few.toml"
    recipe.write_text(RECIPE)
    folder, cache = str(tmp_path / "supernet"), str(tmp_path / "cache")
    asked = ["--calib", data, "--cache", cache]
    keys = [f"supernet.{name}" for name in ("steps=4", "batch_size=8")]
    sets = [word for key in keys for word in ("--set", key)]
    found = run("search", net, "--supernet", *asked, *sets, "--space", "small", "-o", folder)
    parts = found["spaces"]["small"]
    assert {part["layers"] for part in parts} == {1, 2}
    assert all(np.isfinite(part["loss"]) for part in parts)

    out = tmp_path / "out"
    compile_ = ["compile", net, *asked, "--from", folder, "--recipe", str(recipe)]
    run(*compile_, "--size", "190KB", "-o", str(out))
    manifest = json.loads((out / "manifest.json").read_text())
    names = {step["name"]: step["status"] for step in manifest["steps"]}
    assert "supernet" not in names  # nothing of it is trained again
    assert names["distill"] == "done"
    student = manifest["measurements"]["candidates"]["student-float"]
    whole = manifest["measurements"]["candidates"]["teacher"]
    sizes = {(p["parameters"], p["macs"]) for p in parts}
    assert (student["params"], student["macs"]) in sizes
    assert student["macs"] < whole["macs"] / 1.9
    model = next(path for path in out.glob("*.onnx"))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"pixel_values": np.zeros((2, 3, 12, 12), np.float32)})
    assert np.asarray(answer).shape == (2, 4)
    assert all(check.ok for check in verify(out))
