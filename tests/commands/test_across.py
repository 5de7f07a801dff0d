"""One model on several targets: rows in the order that was asked for, each told as it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.commands.across import across
from squeeze.commands.fit import fit_model
from squeeze.commands.runnable import runnable
from squeeze.console.across import show_across
from squeeze.errors import MeasureError
from squeeze.progress import Progress
from tests.commands.test_held_to_float import BOARD
from tests.console.shown import shown
from tests.measure.models import conv
from tests.runtimes.tflite_models import float_tail_net

if TYPE_CHECKING:
    from pathlib import Path


class Told(Progress):
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.done: list[tuple[int, int]] = []

    def begin(self, step: str) -> None:
        self.steps.append(step)

    def update(self, done: int, total: int, note: str = "") -> None:
        self.done.append((done, total))


def test_rows_are_in_the_order_of_the_targets_and_are_told(tmp_path: Path) -> None:
    boards = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.toml"
        path.write_text(BOARD.replace('"board"', f'"{name}"'))
        boards.append(str(path))
    model = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    told = Told()
    targets = [boards[0], "host", boards[1]]
    rows = fit_model(model, targets, progress=told)["targets"]
    assert [(row["target"], row["source"]) for row in rows] == [
        ("one", "estimate"),
        ("host", "measured"),
        ("two", "estimate"),
    ]
    # 28800 multiplications at 1e6 a second
    assert [row["latency_ms"] for row in rows[::2]] == [28.8, 28.8]
    assert told.steps == ["targets"]
    assert told.done == [(0, 3), (1, 3), (2, 3), (2, 3)]


def test_what_numbers_leave_out_is_on_the_screen_once(tmp_path: Path) -> None:
    pytest.importorskip("ethosu.vela", reason="ethos-u-vela: pip install squeeze[npu]")
    model = float_tail_net(tmp_path / "net.onnx")
    npus = ["ethos-u55-128", "ethos-u65-256"]
    for found in (fit_model(model, npus), across(model, npus)):
        screen = " ".join(shown(lambda console, of=found: show_across(console, of), width=300))
        assert [row["fits"] for row in found["targets"]] == [True, True]
        assert screen.count("cycles and time are without what the CPU runs") == 1
        assert "ethos-u55-128, ethos-u65-256: cycles and time" in screen


def test_what_keeps_several_from_running_is_told_once(tmp_path: Path) -> None:
    onnx.save(doubled_in_a_loop(), tmp_path / "looped.onnx")
    found = fit_model(tmp_path / "looped.onnx", ["mcu-cortex-m4", "mcu-cortex-m7"])
    (why, *_), again = (row["why"] for row in found["targets"])
    assert [row["fits"] for row in found["targets"]] == [False, False]
    assert why in again
    screen = " ".join(shown(lambda console: show_across(console, found), width=300))
    assert screen.count(why) == 1
    assert "the same as mcu-cortex-m4" in screen


def test_a_first_look_is_a_few_runs_and_a_number_all_the_same(tmp_path: Path) -> None:
    model = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    (row,) = across(model, ["host"], runs=20, operators=False, first_look=True)["targets"]
    low, high = row["latency_p10_ms"], row["latency_p90_ms"]
    assert 0 < low <= high
    assert np.isfinite(row["latency_ms"])


def test_warnings_and_errors_name_the_file_of_the_user_and_no_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    board, model = tmp_path / "board.toml", tmp_path / "looped.onnx"
    board.write_text(BOARD)
    onnx.save(doubled_in_a_loop(), model)
    across(model, [str(board)])
    (warning,) = [one.getMessage() for one in caplog.records if "MACs" in one.getMessage()]
    assert warning.startswith(f"{model}: its MACs leave out")
    with pytest.raises(MeasureError, match="node ran out") as failed, runnable(model) as copy:
        raise MeasureError(f"{copy}: node ran out")
    assert str(failed.value) == f"{model}: node ran out"
    assert not copy.exists()


def doubled_in_a_loop() -> onnx.ModelProto:
    """x [n, 4], three times multiplied by a matrix."""
    value, node = helper.make_tensor_value_info, helper.make_node
    body = helper.make_graph(
        [node("Identity", ["on"], ["still"]), node("MatMul", ["before", "w"], ["after"], "times")],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("on", TensorProto.BOOL, []),
            value("before", TensorProto.FLOAT, None),
        ],
        [value("still", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, None)],
    )
    constants = {"w": 2 * np.eye(4, dtype=np.float32), "count": np.int64(3), "yes": np.array(True)}
    graph = helper.make_graph(
        [node("Loop", ["count", "yes", "x"], ["y"], "loop", body=body)],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
