"""A compile for devices with runtimes of their own: judged by those, with their files in a package that verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import squeeze
from squeeze import artifact, seal
from squeeze.errors import ConfigError, GoalMissed
from squeeze.machine.facts import architecture

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.artifact import Artifact
    from tests.e2e.conftest import Trained


def compiled(trained: Trained, target: str, out: Path, **goal: object) -> Artifact:
    made = squeeze.compile(
        str(trained.pt2), str(trained.data), target, out=out, threads=1, recipe="ptq", **goal
    )
    assert all(check.ok for check in squeeze.verify(out)), squeeze.verify(out)
    return made


def test_openvino_judges_what_is_shipped_for_it(vector_teacher: Trained, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="pip install squeeze[openvino]")
    package = compiled(vector_teacher, "openvino-cpu", tmp_path / "out", drop=20.0)
    device = package.manifest["device"]
    assert device["runtime"].startswith("openvino")
    assert device["source"] == "measured"
    # The metric that is reported is that of the outputs which the golden file keeps of OpenVINO's own.
    with np.load(package.path / seal.GOLDEN) as stored:
        own = stored["device/" + package.interface.outputs[0].name]
        onnx = stored["outputs/" + package.interface.outputs[0].name]
    assert own.shape == onnx.shape
    assert np.abs(own - onnx).max() < 0.1 * np.abs(onnx).max()
    student = package.manifest["measurements"]["student"]
    assert student["metric"] == device["outputs"][0]["value"]
    assert student["runtime"] == "openvino"
    # So are the answers that changed.
    flips = package.manifest["flips"]
    right = flips["classes"]["right"][flips["stages"][-1]]
    assert 100 * sum(right) / student["n"] == pytest.approx(student["metric"])


def test_ethos_u_ships_both_files_and_counts_cycles(
    signal_teacher: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("ethosu.vela", reason="pip install squeeze[npu]")
    pytest.importorskip("ai_edge_litert", reason="pip install squeeze[npu]")
    out = tmp_path / "out"
    package = compiled(signal_teacher, "ethos-u55-128", out, drop=20.0)
    assert {"model.onnx", "model.tflite", "model_vela.tflite"} <= set(package.manifest["files"])
    cost = package.manifest["device"]["cost"]
    assert cost["accelerator_share"] == 1.0
    assert package.manifest["measurements"]["student"]["source"] == "cycles"
    assert package.manifest["measurements"]["student"]["latency_p50_ms"] == pytest.approx(
        1e3 * cost["cycles"] / 500e6
    )
    assert package.manifest["verdict"]["picked"].endswith("-int8")


def test_a_model_beyond_the_ram_of_the_goal_is_a_missed_goal(
    signal_teacher: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("tflite_micro", reason="pip install squeeze[mcu]")
    pytest.importorskip("ai_edge_litert", reason="pip install squeeze[mcu]")
    with pytest.raises(GoalMissed, match=r"of RAM \(goal 1.02 KB of RAM\)"):
        compiled(signal_teacher, "mcu-cortex-m4", tmp_path / "out", drop=20.0, ram_bytes=1024)
    package = artifact.open(tmp_path / "out")
    assert "model.tflite" in package.manifest["files"]
    assert package.manifest["device"]["source"] == "static"


def test_ram_is_no_goal_where_the_runtime_says_nothing_of_it(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"--ram: target 'host' does not say"):
        compiled(vector_teacher, "host", tmp_path / "out", ram_bytes=1024)


def test_processor_that_is_not_here_is_estimated_and_never_measured(
    signal_teacher: Trained, tmp_path: Path
) -> None:
    board = tmp_path / "board.toml"
    board.write_text(
        'schema = 2\nname = "board"\nsummary = "s"\n[cpu]\nfeatures = ["elsewhere"]\n'
        f'arch = "{architecture()}"\n[peak]\nfloat_macs_per_s = 6e9\nint8_macs_per_s = 12e9\n'
        '[sources]\n"peak.float_macs_per_s" = "a sheet"\n"peak.int8_macs_per_s" = "a sheet"\n'
    )
    package = compiled(signal_teacher, str(board), tmp_path / "out", drop=20.0)
    assert package.manifest["device"]["source"] == "estimate"
    measurements = package.manifest["measurements"]
    known = [measurements["teacher"], *measurements["candidates"].values()]
    assert {(one["source"], one["runtime"]) for one in known} == {("estimate", "estimate")}
    # Nothing but multiplications counts without a bandwidth: as many a second as the file says.
    teacher = measurements["teacher"]
    assert teacher["latency_p50_ms"] == pytest.approx(1e3 * teacher["macs"] / 6e9, rel=0.01)


def test_hexagon_ships_a_context_of_the_whole_graph_and_counts_traffic(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="pip install squeeze[qnn]")
    package = compiled(vector_teacher, "hexagon-v73", tmp_path / "out", drop=20.0)
    assert {"model.onnx", "model_ctx.onnx", "htp_report.json"} <= set(package.manifest["files"])
    assert package.manifest["device"]["source"] == "static"
    cost = package.manifest["device"]["cost"]
    assert cost["accelerator_share"] == 1.0
    assert cost["traffic_bytes"]["dram_read"] > 0
    assert package.manifest["measurements"]["student"]["latency_p50_ms"] is None
    assert package.manifest["verdict"]["picked"].endswith("-int8")
