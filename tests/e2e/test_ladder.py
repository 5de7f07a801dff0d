"""Fewer bits, fewer bytes, fewer channels: what a compile builds, measures, keeps and says, on real small teachers."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch

import squeeze
from squeeze.account.sizes import float_weights
from squeeze.errors import ConfigError, GoalMissed
from tests import started

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

Json = dict[str, Any]  # Any: JSON
pytestmark = pytest.mark.usefixtures("shared_cache")

KEEP_RECIPE = """
schema = 1
name = "keep"
[search]
evaluations = 0
[distill]
batch_size = 32
lr = 0.1
views = 2
[quant]
samples = 64
steps = 60
"""
ENOUGH_SECONDS = 120


@pytest.fixture(scope="module")
def keep_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "keep.toml"
    path.write_text(KEEP_RECIPE)
    return path


def compile_it(
    teacher: Trained, recipe: Path | str, out: Path, **goal: Any
) -> squeeze.artifact.Artifact:
    return squeeze.compile(
        str(teacher.pt2), str(teacher.data), out=out, threads=1, recipe=str(recipe), **goal
    )


def step(package: squeeze.artifact.Artifact, name: str) -> Json:
    found: Json = next(s for s in package.manifest["steps"] if s["name"] == name)
    return found


def packed_bits(model: Path) -> dict[str, int]:
    """Packed weights -> bits, of the codebook ops in a file."""
    return {
        node.input[3]: next(a.i for a in node.attribute if a.name == "bits")
        for node in onnx.load(model).graph.node
        if node.op_type.startswith("QCodebook")
    }


def test_four_bits_are_packed_measured_and_said(
    signal_teacher: Trained, keep_recipe: Path, tmp_path: Path
) -> None:
    package, again = (
        compile_it(
            signal_teacher,
            keep_recipe,
            tmp_path / name,
            bits=4,
            drop=5.0,
            overrides={"goal.objective": "smallest"},
        )
        for name in ("out", "again")
    )
    manifest = package.manifest
    assert manifest["verdict"]["picked"] == "kept-4bit"
    # The first convolution and the classifier stay at 8 bits; the three between are packed.
    assert list(packed_bits(package.model).values()) == [4, 4, 4]
    assert float_weights(package.model) == []
    assert manifest["size"]["float_weights"] == []
    rung = step(package, "4bit")
    assert "AdaRound" in rung["summary"]
    packed = next(t for t in rung["tried"] if t["name"] == "packed weights")
    # Conv1d(48, 96, 5) and twice Conv1d(96, 96, 5), half a byte a weight; each codebook has at most 16 bytes.
    weights = 96 * 5 * (48 + 96 + 96)
    assert packed["numbers"]["int8_bytes"] == weights
    assert weights / 2 <= packed["numbers"]["packed_bytes"] <= weights / 2 + 3 * 16
    assert set(manifest["rungs"]) == {"kept-4bit"}
    assert len(manifest["sensitivity"]) == 5
    for row in manifest["sensitivity"]:
        assert row["bytes"]["8"] > row["bytes"]["4"] > row["bytes"]["2"]
        assert row["divergence"]["2"] > row["divergence"]["4"]
    sources = {c["cpu"]: c["source"] for c in manifest["cpus"]["cpus"]}
    assert set(sources) == {"x86 with VNNI", "x86 without VNNI"}
    assert "proven equal" in sources.values()
    # The same command again: nothing is done twice, and it is the same artifact.
    assert again.digest == package.digest
    # What was timed while the machine was busy is timed again.
    states = {
        s["status"]
        for s in again.manifest["steps"]
        if s["status"] != "skipped" and s["name"] != "measure"
    }
    assert states == {"reused"}


def test_layers_too_small_to_pay_stay_int8_and_say_so(tmp_path: Path, keep_recipe: Path) -> None:
    # 8 * 4 weights in the middle: the constants of a packed layer take more than they save.
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(16, 8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 4),
        torch.nn.ReLU(),
        torch.nn.Linear(4, 3),
    ).eval()
    x = torch.randn(120, 16)
    program = torch.export.export(
        net, (x[:4],), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
    )
    torch.export.save(program, tmp_path / "net.pt2")
    np.save(tmp_path / "x.npy", x.numpy())
    package = squeeze.compile(
        str(tmp_path / "net.pt2"),
        str(tmp_path / "x.npy"),
        out=tmp_path / "out",
        threads=1,
        recipe=str(keep_recipe),
        bits=4,
        drop=100.0,
        overrides={"quant.method": "post-training"},
    )
    assert "kept-4bit" in package.manifest["rungs"]
    notes = [t for t in step(package, "4bit")["tried"] if t["name"] == "packed weights"]
    assert [t["kept"] for t in notes] == [False]
    assert "1 of 1 layers of few bits stay in int8" in notes[0]["why"]


def test_training_follows_where_rounding_loses_too_much(
    vector_teacher: Trained, keep_recipe: Path, tmp_path: Path
) -> None:
    # The goal may be missed on the evaluate split, which the choice does not see.
    with contextlib.suppress(GoalMissed):
        compile_it(
            vector_teacher, keep_recipe, tmp_path / "out", bits=2, drop=0.0, metric="agreement"
        )
    package = squeeze.open(tmp_path / "out")
    rungs = package.manifest["rungs"]
    # Two bits do not agree with the teacher on every sample, so rounding alone cannot be enough.
    assert rungs["kept-2bit"] > 0
    assert "kept-2bit-trained" in rungs
    assert "quantised-distillation" in step(package, "2bit-trained")["summary"]
    rounded = next(t for t in step(package, "2bit")["tried"] if t["name"] == "rung")
    assert rounded["numbers"]["drop"] == rungs["kept-2bit"]
    assert set(rungs) <= set(package.manifest["measurements"]["candidates"])


def test_killed_training_at_few_bits_ends_with_the_same_artifact(
    vector_teacher: Trained, keep_recipe: Path, tmp_path: Path
) -> None:
    def command(folder: Path) -> list[str]:
        return [
            *("compile", str(vector_teacher.pt2), "--calib"),
            *(str(vector_teacher.data), "--recipe", str(keep_recipe), "--threads", "1"),
            *("--bits", "2", "--drop", "0.3", "--metric", "agreement"),
            *("--set", "quant.steps=450", "--set", "goal.objective=smallest"),
            *("--set", "distill.checkpoint_s=0"),
            *("--cache", str(folder / "cache"), "-o", str(folder / "out"), "--json"),
        ]

    def finished(folder: Path) -> Json:
        done = started.run(*command(folder))
        assert done.returncode in (0, 4), done.stderr
        found: Json = json.loads((folder / "out" / "manifest.json").read_text())
        return found

    whole = finished(tmp_path / "whole")
    assert "kept-2bit-trained" in whole["rungs"]
    shutil.copytree(tmp_path / "whole" / "cache", tmp_path / "killed" / "cache")
    (trained,) = (tmp_path / "killed" / "cache" / "steps").glob("2bit-trained-*")
    shutil.rmtree(trained)
    for step in (200, 400):  # activations are in float at first, then on their grids
        assert killed_at(step, command(tmp_path / "killed"), tmp_path / "killed" / "cache")
    again = finished(tmp_path / "killed")
    assert rung_bytes(tmp_path / "killed") == rung_bytes(tmp_path / "whole")
    assert again["rungs"] == whole["rungs"]


def rung_bytes(folder: Path) -> bytes:
    (path,) = (folder / "cache" / "steps").glob("2bit-trained-*/rung.onnx")
    return path.read_bytes()


def killed_at(step: int, arguments: list[str], cache: Path) -> bool:
    """Runs until the training at 2 bits has left a checkpoint of this step or a later one, then SIGKILL; False when it
    ended before."""
    run = started.start(*arguments)
    deadline = time.monotonic() + ENOUGH_SECONDS
    pattern = "2bit-trained-*/training/checkpoint_*.json"
    try:
        while time.monotonic() < deadline and run.works():
            if any(int(p.stem[-8:]) >= step for p in (cache / "partial").glob(pattern)):
                return True
            time.sleep(0.002)
        return False
    finally:
        run.send(signal.SIGKILL)
        run.ended()


def test_bits_of_each_layer_fit_the_size(
    signal_teacher: Trained, keep_recipe: Path, tmp_path: Path
) -> None:
    # int8 takes a byte for each of 116,064 weights, 2 bits a quarter: between them lies 60 KB.
    package = compile_it(
        signal_teacher, keep_recipe, tmp_path / "out", size_bytes=60_000, drop=10.0
    )
    assert package.goal_met
    assert package.model.stat().st_size <= 60_000
    assert package.manifest["verdict"]["picked"].startswith("kept-fitted")
    widths = set(packed_bits(package.model).values())
    assert widths
    assert widths <= {2, 3, 4}


def test_size_below_two_bits_says_what_is_nearest(
    signal_teacher: Trained, keep_recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(GoalMissed, match=r"the best reached is .* KB \(goal 5 KB\)") as missed:
        compile_it(
            signal_teacher,
            keep_recipe,
            tmp_path / "out",
            size_bytes=5_000,
            drop=50.0,
            overrides={"quant.method": "post-training"},
        )
    assert "'kept-fitted'" in str(missed.value)
    package = squeeze.open(tmp_path / "out")
    assert set(packed_bits(package.model).values()) == {2}
    skipped = [s["summary"] for s in package.manifest["steps"] if s["status"] == "skipped"]
    assert any("; 5 KB is out of reach" in s and "all layers at 2 bits take" in s for s in skipped)


def test_inputs_are_synthesised_and_said_where_there_is_no_data(
    signal_teacher: Trained, tmp_path: Path
) -> None:
    package = squeeze.compile(
        str(signal_teacher.pt2), out=tmp_path / "out", threads=1, recipe="ptq", drop=100.0
    )
    said = package.manifest["calib"]
    assert said["name"] == "synthetic"
    assert any("synthesised from the teacher" in text for text in said["assumed"])
    assert said["metric"] == "agreement"
    assert step(package, "synthesise")["status"] == "done"
    assert package.manifest["size"]["float_weights"] == []


def test_data_is_asked_for_where_inputs_cannot_be_synthesised(tmp_path: Path) -> None:
    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(50, 8)
            self.classifier = torch.nn.Linear(8, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.embedding(ids).mean(1))

    program = torch.export.export(
        Tokens().eval(),
        (torch.zeros(4, 6, dtype=torch.int64),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
    )
    torch.export.save(program, tmp_path / "tokens.pt2")
    with pytest.raises(ConfigError, match="give data") as refused:
        squeeze.compile(str(tmp_path / "tokens.pt2"), out=tmp_path / "out", threads=1)
    assert "int64" in str(refused.value)


def test_data_is_asked_for_with_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    (tmp_path / "factories.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Linear(4, 3)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    save_file(torch.nn.Linear(4, 3).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="data is needed") as refused:
        squeeze.compile(
            "factories:net",
            weights=str(tmp_path / "w.safetensors"),
            out=tmp_path / "out",
            threads=1,
        )
    assert len(str(refused.value).splitlines()) <= 2
