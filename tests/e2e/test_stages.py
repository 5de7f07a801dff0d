"""A fine-tuned BERT, the one that it was fine-tuned from, and texts of both kinds, through four stages to a package."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
import torch

from squeeze.errors import GoalMissed
from squeeze.verification import verify
from tests import started
from tests.cli.run import only_object
from tests.teacher.hf.folders import SMALL, VOCABULARY, save

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("transformers", reason="transformers: pip install squeeze[hf]")

SETTINGS = {**SMALL, "hidden_size": 32, "num_hidden_layers": 4, "intermediate_size": 64}
LENGTH, CLASSES = 12, 3
RECIPE = """
schema = 1
name = "few"
[goal]
max_drop = 100.0
[search]
speedup = 4.0
[supernet]
steps = 2
batch_size = 8
[quant]
samples = 16
steps = 0
"""
STAGE = """
[[stages]]
data = "{}"
teacher = "{}"
loss = "{}"
steps = {}
"""


def texts(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    mask = np.arange(LENGTH) < random.integers(3, LENGTH + 1, (count, 1))
    ids = random.integers(1, VOCABULARY, mask.shape) * mask
    return {
        "input_ids": ids,
        "attention_mask": mask.astype(np.int64),
        "token_type_ids": np.zeros_like(ids),
    }


def test_schedule_ends_in_a_package(tmp_path: Path) -> None:
    """Its stages are told, and the file in it is the student that they made."""
    save(tmp_path / "pretrained", "Bert", "Model", SETTINGS)
    tuned = save(
        tmp_path / "tuned", "Bert", "ForSequenceClassification", {**SETTINGS, "num_labels": CLASSES}
    )
    task = texts(200, 1)
    with torch.no_grad():
        feed = {name: torch.from_numpy(x) for name, x in task.items()}
        tuned.classifier.bias.sub_(tuned(**feed).logits.mean(0))  # so that every class is there
        y = tuned(**feed).logits.argmax(1).numpy()
    tuned.save_pretrained(tmp_path / "tuned")
    np.savez(tmp_path / "task.npz", **task, y=y)
    np.savez(tmp_path / "general.npz", **texts(64, 2))  # type: ignore[arg-type]
    recipe, out = tmp_path / "few.toml", tmp_path / "out"
    kinds = [
        ("general", "pretrained", "latent", 2),
        ("general", "fine-tuned", "latent", 3),
        ("task", "fine-tuned", "latent", 2),
        ("task", "fine-tuned", "answers", 4),
    ]
    recipe.write_text(RECIPE + "".join(STAGE.format(*kind) for kind in kinds))
    words = ["compile", str(tmp_path / "tuned"), "--calib", str(tmp_path / "task.npz")]
    words += ["--extra", str(tmp_path / "general.npz"), "--recipe", str(recipe)]
    words += ["--pretrained", str(tmp_path / "pretrained"), "--cache", str(tmp_path / "cache")]
    # Less than the teacher's own architecture needs, so that a student is made; what it needs is not asked here.
    words += ["--size", "90KB", "-o", str(out), "--json", "--threads", "1"]
    done = started.run(*words)
    assert done.returncode in (0, GoalMissed.exit_code), done.stdout + done.stderr
    only_object(done.stdout)
    manifest = json.loads((out / "manifest.json").read_text())
    names = [step["name"] for step in manifest["steps"]]
    order = [names.index(n) for n in ("pretrained", "supernet", "cut", "gd", "ged", "tad", "tsd")]
    assert order == sorted(order)
    assert "distill" not in names
    trained = manifest["training"]
    assert [entry["step"] for entry in trained] == list(range(1, 12))
    assert "student-float" in manifest["measurements"]["candidates"]
    model = next(path for path in out.glob("*.onnx"))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = {i.name: task[i.name][:2] for i in session.get_inputs()}
    (answer,) = session.run(None, given)
    assert np.asarray(answer).shape == (2, CLASSES)
    assert all(check.ok for check in verify(out))
