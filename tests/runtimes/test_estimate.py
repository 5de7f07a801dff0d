"""What is said of a device that is out of reach: by its file alone, and called an estimate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

from squeeze.runtimes.estimate import Estimate
from squeeze.runtimes.table import estimated
from squeeze.target import Limits, Peak, Target
from tests.measure.models import conv, linear, quantised_conv, save

PEAK = Peak(float_macs_per_s=1e6, int8_macs_per_s=4e6, memory_bytes_per_s=1e5)


def board(**parts: object) -> Target:
    peak = parts.get("peak", PEAK)
    sources = {f"peak.{key}": "by hand" for key, value in peak.model_dump().items() if value}
    return Target.model_validate(
        {
            "schema": 2,
            "name": "board",
            "summary": "a board",
            "sources": sources,
            "peak": PEAK,
            **parts,
        }
    )


def test_time_and_memory_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    # 28800 macs; x 1600, y 3200 bytes, weights 1184
    runtime = Estimate(board())
    path = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    assert runtime.refuses(path) == []
    cost = runtime.cost(runtime.build(path, tmp_path))
    assert cost.source == "estimate"
    assert cost.latency_ms == pytest.approx(1e3 * 5984 / 1e5)
    assert (cost.ram_bytes, cost.persistent_bytes) == (4800, 1184)
    assert cost.file_bytes == path.stat().st_size
    assert cost.limited_by == "arithmetic 0 %, memory 100 %; most: conv (memory, 100 %)"
    assert [(o.name, o.macs, o.share) for o in cost.operators] == [("conv", 28800, 1.0)]


def test_its_outputs_are_the_runtimes(tmp_path: Path) -> None:
    runtime = Estimate(board())
    built = runtime.build(linear(tmp_path / "m.onnx"), tmp_path)
    assert "ONNX Runtime on this machine" in built.notes[0]
    # W[i, j] = i + j, b = 1
    found = runtime.run(built, {"x": np.array([[1, 2, 3]], np.float32)})
    np.testing.assert_allclose(found["y"], [[1 * 0 + 2 * 1 + 3 * 2 + 1, 1 * 1 + 2 * 2 + 3 * 3 + 1]])


def test_a_feed_is_one_sample_whatever_its_first_axis_is(tmp_path: Path) -> None:
    # [steps, batch, 3] by [3, 2]: 6 multiplications a step
    stored: dict[str, npt.NDArray[np.generic]] = {"w": np.ones((3, 2), np.float32)}
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="steps")
    path = save(tmp_path / "m.onnx", [node], ["t", "n", 3], ["t", "n", 2], stored)
    runtime = Estimate(board(peak=Peak(float_macs_per_s=1e6)))
    cost = runtime.cost(runtime.build(path, tmp_path), {"x": np.zeros((5, 1, 3), np.float32)})
    assert cost.latency_ms == pytest.approx(30e-3)
    assert "arithmetic alone" in cost.notes[0]
    assert cost.notes[1].startswith("starting operators costs nothing: ")


def test_starting_operators_is_part_of_the_time(tmp_path: Path) -> None:
    # 6 multiplications, of one operator
    runtime = Estimate(board(peak=Peak(float_macs_per_s=1e6, operator_start_s=9e-6)))
    cost = runtime.cost(runtime.build(linear(tmp_path / "m.onnx"), tmp_path))
    assert cost.latency_ms == pytest.approx(15e-3)
    assert cost.limited_by.startswith("arithmetic 0 %, memory 0 %, starting 100 %; most: ")


def test_operators_beyond_the_limits_are_refused_by_name(tmp_path: Path) -> None:
    path = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    (refusal,) = Estimate(board(limits=Limits(operators=("Gemm",)))).refuses(path)
    assert str(refusal) == "node 'conv': Conv is not among the operators of 'board': Gemm"
    (refusal,) = Estimate(board(limits=Limits(max_rank=3))).refuses(path)
    assert str(refusal) == "node 'conv': 'y' has 4 axes; 'board' takes up to 3"


def test_floats_are_refused_where_nothing_says_how_fast_they_are(tmp_path: Path) -> None:
    runtime = Estimate(board(peak=Peak(int8_macs_per_s=1e6)))
    (refusal,) = runtime.refuses(
        conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    )
    assert refusal.node == "conv"
    assert "has no float_macs_per_s" in refusal.why
    assert runtime.refuses(quantised_conv(tmp_path / "q.onnx")) == []


def test_a_target_without_peaks_is_not_estimated() -> None:
    assert estimated(board(peak=Peak(), sources={})) is None
    found = estimated(board())
    assert found is not None
    assert found.source == "estimate"
