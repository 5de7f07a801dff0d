"""`squeeze profile --against --calib`: the metric of one file against the other, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze.commands.likeness import likeness
from squeeze.commands.profile import profile_model
from squeeze.console.profile import show_profile
from squeeze.errors import ConfigError
from tests.console.shown import shown

RNG = np.random.default_rng(0)


def model(path: Path, matrix: np.ndarray, batch: int | str = "n", output: str = "y") -> Path:
    """x [n, k] times a matrix [k, m]."""
    rows, columns = matrix.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], [output])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, rows])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, columns])],
        [
            helper.make_tensor(
                "w", TensorProto.FLOAT, [rows, columns], matrix.astype(np.float32).reshape(-1)
            )
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


MATRIX = np.array([[1.0, -1], [2, 0], [0, 3]])


@pytest.fixture
def data(tmp_path: Path) -> str:
    x = RNG.normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x_train=x[:20], x_test=x[20:])
    return str(tmp_path / "d.npz")


@pytest.mark.parametrize("batch", ["n", 1], ids=str)
def test_likeness_is_the_metric_against_the_other_models_answers(
    tmp_path: Path, data: str, batch: int | str
) -> None:
    one = model(tmp_path / "one.onnx", MATRIX * [1, 0.5], batch)
    other = model(tmp_path / "other.onnx", MATRIX)
    found = likeness(one, other, calib=data)
    x = np.load(data)["x_test"].astype(np.float64)
    a, b = x @ (MATRIX * [1, 0.5]), x @ MATRIX
    same = 100 * float((a.argmax(1) == b.argmax(1)).mean())
    assert 50 < same < 100
    (output,) = found["outputs"]
    assert found["samples"] == 40
    assert (output["output"], output["metric"], output["unit"]) == ("y", "agreement", "%")
    assert (output["against"], output["value"]) == (100, pytest.approx(same))
    assert output["drop"] == pytest.approx(100 - same)
    assert output["interval"][0] < same < output["interval"][1]
    named = likeness(one, other, calib=data, metric="error")["outputs"][0]
    spread = ((b - b.mean(axis=0)) ** 2).sum()
    assert named["value"] == pytest.approx(100 * ((a - b) ** 2).sum() / spread, rel=1e-5)


def test_likeness_of_files_with_other_outputs_is_refused(tmp_path: Path, data: str) -> None:
    one = model(tmp_path / "one.onnx", MATRIX, output="z")
    other = model(tmp_path / "other.onnx", MATRIX)
    with pytest.raises(ConfigError, match=r"one.onnx: has outputs z, but .* has y$"):
        likeness(one, other, calib=data)


def test_profile_against_with_data_shows_the_metric(tmp_path: Path, data: str) -> None:
    one = model(tmp_path / "one.onnx", MATRIX * [1, 0.5])
    other = model(tmp_path / "other.onnx", MATRIX)
    with pytest.raises(ConfigError, match=r"--calib: .* add --against MODEL"):
        profile_model(one, calib=data)
    found = profile_model(one, against=other, calib=data, metric="error", runs=10)
    (output,) = found["against"]["accuracy"]["outputs"]
    lines = shown(lambda console: show_profile(console, found), 400)
    (line,) = [line for line in lines if line.startswith("relative squared error, n=40")]
    assert f"{output['value']:.2f} %" in line
    assert "the other's 0.00 %" in line
    assert f"{output['drop']:.2f} points lost" in line
