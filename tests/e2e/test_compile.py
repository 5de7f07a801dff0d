"""The whole line on real small teachers: what is written is what was measured, and it can be used."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import save_file

import squeeze
from squeeze import seal
from squeeze.errors import GoalMissed

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

pytestmark = pytest.mark.usefixtures("shared_cache")


def run_plainly(package: squeeze.artifact.Artifact, x: np.ndarray) -> np.ndarray:
    """The exported file in stock ONNX Runtime: no library of ours, no code of ours."""
    session = ort.InferenceSession(str(package.model), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_mlp_from_pt2_gives_a_smaller_measured_package(
    vector_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    package = squeeze.compile(
        str(vector_teacher.pt2),
        str(vector_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe=str(small_recipe),
        drop=10.0,
        # The teacher itself is small and fast in int8: only a student of a twentieth is smaller in any form.
        overrides={"goal.objective": "smallest", "search.shrink": 20.0},
    )
    manifest = package.manifest
    assert manifest["arch"]["family"] == "mlp"
    with np.load(vector_teacher.data) as data:
        x, y = data["x_test"], data["y_test"]
    outputs = run_plainly(package, x)
    # The accuracy in the manifest is that of the file, found with NumPy and stock ONNX Runtime.
    accuracy = 100 * float((outputs.argmax(1) == y).mean())
    assert manifest["measurements"]["student"]["metric"] == pytest.approx(accuracy, abs=0.3)
    assert manifest["measurements"]["teacher"]["metric"] == pytest.approx(vector_teacher.accuracy)
    assert manifest["measurements"]["student"]["file_bytes"] == package.model.stat().st_size
    assert package.model.stat().st_size < manifest["measurements"]["teacher"]["file_bytes"] / 2
    assert all(check.ok for check in squeeze.verify(package.path))
    assert squeeze.open(package.path).digest == package.digest


def test_student_is_rebuilt_in_torch_from_archspec_and_safetensors(
    signal_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    package = squeeze.compile(
        str(signal_teacher.pt2),
        str(signal_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe=str(small_recipe),
        drop=20.0,
    )
    assert package.manifest["arch"]["family"] == "dsconv"
    with np.load(signal_teacher.data) as data:
        x = data["x_test"]
    script = (
        "import sys, numpy as np, torch, squeeze\n"
        "x = torch.from_numpy(np.load(sys.argv[2])['x_test'])\n"
        "with torch.no_grad():\n"
        "    np.save(sys.argv[3], squeeze.open(sys.argv[1]).module()(x).numpy())\n"
    )
    arguments = [str(package.path), str(signal_teacher.data), str(tmp_path / "y.npy")]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True)
    rebuilt = np.load(tmp_path / "y.npy")
    outputs = run_plainly(package, x)
    # int8 against float: nearly always the same class.
    assert (rebuilt.argmax(1) == outputs.argmax(1)).mean() > 0.95


def test_factory_with_safetensors_equals_pt2(
    vector_teacher: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(vector_teacher.module.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "mymodels.py").write_text(
        "from torch import nn\n"
        "def vector_net():\n"
        "    layers = []\n"
        "    for i, o in ((16, 256), (256, 256), (256, 256)):\n"
        "        layers += [nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()]\n"
        "    return nn.Sequential(*layers, nn.Linear(256, 3))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    package = squeeze.compile(
        "mymodels:vector_net",
        str(vector_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe="ptq",
        weights=str(tmp_path / "w.safetensors"),
    )
    assert package.manifest["teacher"]["kind"] == "factory"
    assert package.manifest["measurements"]["teacher"]["metric"] == pytest.approx(
        vector_teacher.accuracy
    )


def test_agreement_with_the_teacher_is_the_metric_when_there_are_no_labels(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    with np.load(vector_teacher.data) as data:
        np.save(tmp_path / "x.npy", data["x_train"])
    package = squeeze.compile(
        str(vector_teacher.pt2),
        str(tmp_path / "x.npy"),
        out=tmp_path / "out",
        threads=1,
        recipe="ptq",
    )
    assert package.manifest["measurements"]["student"]["metric_name"] == "agreement"
    assert package.manifest["measurements"]["teacher"]["metric"] == 100.0


def test_architecture_is_kept_where_token_ids_go_into_no_encoder(tmp_path: Path) -> None:
    class TokenTeacher(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(1000, 128)
            self.hidden = torch.nn.Linear(128, 256)
            self.classifier = torch.nn.Linear(256, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.hidden(self.embedding(ids).mean(1)).relu())

    torch.manual_seed(0)
    ids = torch.randint(0, 100, (300, 12))
    program = torch.export.export(
        TokenTeacher().eval(), (ids[:4],), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
    )
    torch.export.save(program, tmp_path / "tokens.pt2")
    np.save(tmp_path / "ids.npy", ids.numpy())
    package = squeeze.compile(
        str(tmp_path / "tokens.pt2"),
        str(tmp_path / "ids.npy"),
        out=tmp_path / "out",
        threads=1,
        drop=100.0,
    )
    assert package.manifest["arch"] is None
    inherit = next(s for s in package.manifest["steps"] if s["name"] == "inherit")
    assert inherit["status"] == "skipped"
    assert inherit["summary"].endswith("it has no layer normalisation")
    assert squeeze.inspect(package.path)["signature"]["inputs"][0]["dtype"] == "int64"


def test_goal_met_by_the_kept_architecture_needs_no_search(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    package = squeeze.compile(
        str(vector_teacher.pt2),
        str(vector_teacher.data),
        out=tmp_path / "out",
        threads=1,
        size_bytes=10_000_000,
        drop=50.0,
    )
    assert package.manifest["arch"] is None
    assert package.goal_met


def test_impossible_goal_writes_the_best_and_says_what_was_reached(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    with pytest.raises(GoalMissed, match=r"goal missed: the best reached is .*\(goal 100 B\)"):
        squeeze.compile(
            str(vector_teacher.pt2),
            str(vector_teacher.data),
            out=tmp_path / "out",
            threads=1,
            recipe="ptq",
            size_bytes=100,
        )
    package = squeeze.open(tmp_path / "out")
    assert not package.goal_met
    assert "goal missed" in package.manifest["verdict"]["sentence"]


def test_second_run_reuses_every_step_and_gives_the_same_bytes(
    vector_teacher: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_CACHE", str(tmp_path / "cache"))
    packages = [
        squeeze.compile(
            str(vector_teacher.pt2),
            str(vector_teacher.data),
            out=tmp_path / out,
            threads=1,
            recipe="ptq",
        )
        for out in ("first", "second")
    ]
    assert packages[0].digest == packages[1].digest
    # What was timed while the machine was busy is timed again.
    states = {
        s["status"]
        for s in packages[1].manifest["steps"]
        if s["status"] != "skipped" and s["name"] != "measure"
    }
    assert states == {"reused"}


def test_manifest_is_json_with_what_is_needed_to_reproduce(
    vector_teacher: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    package = squeeze.compile(
        str(vector_teacher.pt2),
        str(vector_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe="ptq",
    )
    manifest = json.loads((package.path / "manifest.json").read_text())
    assert manifest["schema"] == seal.SCHEMA
    assert {"teacher", "recipe", "target", "calib", "versions", "seeds", "signature"} <= set(
        manifest
    )
    assert manifest["date"] == "2001-09-09"
    title = f"<title>{vector_teacher.pt2.name} for host, 2001-09-09: squeeze report</title>"
    assert title in (package.path / "report.html").read_text()
    assert manifest["versions"]["torch"] == version("torch")
    assert manifest["signature"]["inputs"][0]["shape"] == [16]
    assert manifest["teacher"]["digest"] == squeeze.workdir.digest_file(vector_teacher.pt2)
