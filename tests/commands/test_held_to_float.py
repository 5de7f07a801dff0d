"""`squeeze profile --target --calib`: what the file that runs on each target answers, by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from squeeze.commands.across import across
from squeeze.commands.profile import profile_on
from squeeze.console.across import show_across
from squeeze.errors import ConfigError
from tests.console.shown import shown
from tests.runtimes.small_nets import images, quantised, residual
from tests.started import run
from tests.test_likeness import MATRIX, model

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOARD = """\
schema = 2
name = "board"
summary = "a board far away"
[cpu]
arch = "hexagon"
[peak]
float_macs_per_s = 1e6
[sources]
"peak.float_macs_per_s" = "by hand"
"""


def saved(path: Path, test: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> str:
    """Data whose calibrate split is within -1 to 1."""
    train = np.random.default_rng(0).uniform(-1, 1, (40, test.shape[1])).astype(np.float32)
    train[:2] = [[-1], [1]]
    of_labels = {} if labels is None else {"y_train": np.arange(40) % 2, "y_test": labels}
    np.savez(path, x_train=train, x_test=test, **of_labels)
    return str(path)


def test_accuracy_of_both_models_is_held_to_the_float_one(tmp_path: Path) -> None:
    board = tmp_path / "board.toml"
    board.write_text(BOARD)
    other = model(tmp_path / "other.onnx", MATRIX)
    one = model(tmp_path / "one.onnx", MATRIX * [1, 0.5])
    x = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    data = saved(tmp_path / "d.npz", x)
    page = tmp_path / "page.html"
    found = profile_on(one, ["host", str(board)], against=other, calib=data, runs=10, report=page)
    same = 100 * float(((x @ MATRIX).argmax(1) == (x @ (MATRIX * [1, 0.5])).argmax(1)).mean())
    assert 50 < same < 100
    for row, by in zip(found["targets"], ("onnxruntime", "ONNX Runtime on this"), strict=True):
        (mine,), (its,) = row["accuracy"]["outputs"], row["against"]["accuracy"]["outputs"]
        assert row["accuracy"]["against"] == str(one)  # the first float one
        assert row["accuracy"]["by"].startswith(by)
        assert (mine["metric"], mine["value"], its["value"]) == (
            "agreement",
            100,
            pytest.approx(same),
        )
        assert its["interval"][0] < same < its["interval"][1]
    screen = "\n".join(shown(lambda console: show_across(console, found), width=250))
    assert "agreement 100.00 % (0.00 lost)" in screen
    assert f"{same:.2f} %" in screen
    assert "agreement 100.00 %" in page.read_text()


def test_a_device_of_integers_is_judged_by_its_own_file_with_ranges_of_the_data(
    tmp_path: Path,
) -> None:
    pytest.importorskip("tflite_micro", reason="pip install squeeze[mcu]")
    pytest.importorskip("ai_edge_litert", reason="pip install squeeze[mcu]")
    # Half of the samples lie far beyond the calibrate split's 1: both outputs saturate, and the first one wins.
    pair = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10 + [[2, 3]] * 20, np.float32)
    data = saved(tmp_path / "d.npz", pair, pair.argmax(1))
    line = model(tmp_path / "line.onnx", np.eye(2))
    (row,) = across(line, ["mcu-cortex-m4"], calib=data, metric="top1", runs=10)["targets"]
    (output,) = row["accuracy"]["outputs"]
    assert row["accuracy"]["by"].startswith("tflite-micro")
    assert row["accuracy"]["samples"] == 40
    assert (output["metric"], output["against"], output["value"]) == ("top1", 100, 50)
    assert re.fullmatch(rf"int8 by the ranges of \d+ samples of {re.escape(data)}", row["form"])


def test_a_quantised_file_wants_a_float_model_beside_it(tmp_path: Path) -> None:
    net = residual(tmp_path / "net.onnx")
    made = quantised(tmp_path / "made.onnx", net)
    x = images(40)
    np.savez(tmp_path / "d.npz", x_train=x[:20], x_test=x[20:])
    data = str(tmp_path / "d.npz")
    with pytest.raises(ConfigError, match=r"made.onnx is quantised already.* as --against MODEL"):
        across(made, ["host"], calib=data)
    found = across(made, ["host"], against=net, calib=data, metric="agreement", runs=10)
    (row,) = found["targets"]
    assert row["accuracy"]["against"] == str(net)
    assert row["against"]["accuracy"]["outputs"][0]["value"] == 100


def test_a_metric_without_data_is_refused(tmp_path: Path) -> None:
    line = model(tmp_path / "line.onnx", MATRIX)
    with pytest.raises(ConfigError, match=r"--metric: .* add --calib DATA"):
        profile_on(line, ["host"], metric="top1")


def test_the_command_takes_data_for_any_target(tmp_path: Path) -> None:
    board = tmp_path / "board.toml"
    board.write_text(BOARD)
    line = model(tmp_path / "line.onnx", MATRIX)
    x = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    data = saved(tmp_path / "d.npz", x)
    done = run("profile", line, "--target", board, "--calib", data)
    assert done.returncode == 0, done.stderr
    assert "agreement 100.00 % (0.00 lost)" in done.stdout
