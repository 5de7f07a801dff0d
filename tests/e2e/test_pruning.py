"""Fewer channels in a compile: what is kept, undone and impossible, and what the package then says and holds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import squeeze

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Trained

Json = dict[str, Any]  # Any: JSON

RECIPE = """
schema = 1
name = "prune"
[goal]
max_drop = 100.0
objective = "smallest"
[search]
evaluations = 0
[distill]
batch_size = 32
lr = 0.1
views = 2
[prune]
steps = 20
rounds = 1
[quant]
enabled = false
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "prune.toml"
    path.write_text(RECIPE)
    return str(path)


def step(package: squeeze.artifact.Artifact, name: str) -> Json:
    found: Json = next(s for s in package.manifest["steps"] if s["name"] == name)
    return found


def check_rebuilt(package: squeeze.artifact.Artifact) -> None:
    """A fresh process makes the module from the package alone, and it computes what the file does."""
    script = (
        "import sys, numpy as np, onnxruntime as ort, torch, squeeze\n"
        "package = squeeze.open(sys.argv[1])\n"
        "x = np.random.default_rng(0).standard_normal((3, 2, 96)).astype(np.float32)\n"
        "session = ort.InferenceSession(str(package.model))\n"
        "(wanted,) = session.run(None, {session.get_inputs()[0].name: x})\n"
        "with torch.no_grad():\n"
        "    found = package.module()(torch.from_numpy(x)).numpy()\n"
        "np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(package.path)], check=True)


@pytest.mark.parametrize("importance", ["bn", "distillation"])
def test_package_holds_the_pruned_network_where_its_round_was_kept(
    signal_teacher: Trained, recipe: str, importance: str, tmp_path: Path
) -> None:
    package = squeeze.compile(
        str(signal_teacher.pt2),
        str(signal_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe=recipe,
        prune=0.5,
        overrides={"prune.importance": importance},
    )
    pruned, candidates = step(package, "prune"), package.manifest["measurements"]["candidates"]
    (round_1,) = (t for t in pruned["tried"] if t["name"].startswith("prune round"))
    # Whether fewer channels are faster is this machine's to say. What it said decides all of the following.
    kept = round_1["numbers"]["ratio"] < 0.97
    assert round_1["kept"] is kept
    assert ("undone, not faster" in round_1["why"]) is not kept
    assert pruned["status"] == ("done" if kept else "skipped")
    assert ("pruned-float" in candidates) is kept
    assert (package.manifest["verdict"]["picked"] == "pruned-float") is kept
    assert (package.manifest["arch"] is not None) is kept
    assert round_1["numbers"]["macs"] == pytest.approx(0.5 * candidates["teacher"]["macs"], rel=0.1)
    assert cheapest(candidates)["macs"] == (
        round_1["numbers"]["macs"] if kept else candidates["teacher"]["macs"]
    )
    if package.manifest["arch"] is not None:
        assert package.manifest["arch"]["family"] == "network"
        check_rebuilt(package)


def cheapest(candidates: Json) -> Json:
    found: Json = min(candidates.values(), key=lambda c: c["macs"])
    return found


def test_step_is_skipped_where_torch_cannot_train_the_network(recipe: str, tmp_path: Path) -> None:
    class Odd(nn.Module):
        """A hyperbolic sine: the runtime knows it, training does not."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(16, 32), nn.Linear(32, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(torch.sinh(self.one(x) / 4))

    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(
        Odd().eval(), (torch.from_numpy(x[:4]),), dynamic_shapes=({0: batch},)
    )
    torch.export.save(program, tmp_path / "odd.pt2")
    np.savez(tmp_path / "data.npz", x_train=x[:48], x_test=x[48:])
    package = squeeze.compile(
        str(tmp_path / "odd.pt2"),
        str(tmp_path / "data.npz"),
        out=tmp_path / "out",
        threads=1,
        recipe=recipe,
        prune=0.3,
    )
    skipped = step(package, "prune")
    assert skipped["status"] == "skipped"
    assert "Sinh" in skipped["summary"]
    names = {s["name"] for s in package.manifest["steps"]}
    # Nothing was made for a training that cannot be.
    assert not names & {"labels", "answers"}
    assert package.manifest["verdict"]["picked"] in ("teacher", "kept-float")


def test_sparsity_without_a_kernel_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(squeeze.errors.UnsupportedError, match=r"2:4 sparsity.*no kernel"):
        squeeze.compile(
            str(tmp_path / "not-there.pt2"),
            out=tmp_path / "out",
            overrides={"prune.sparsity": "2:4"},
        )
