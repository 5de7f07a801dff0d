from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze.errors import MeasureError
from squeeze.measure import peak_memory
from squeeze.measure.memory import can_measure
from tests.measure.models import linear, save

pytestmark = pytest.mark.skipif(not can_measure(), reason="peak memory is read from /proc")


def test_peak_memory_shows_the_weights_of_a_large_model(tmp_path: Path) -> None:
    table = np.ones((50, 1_000_000), np.float32)  # 200 MB
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    path = save(
        tmp_path / "large.onnx",
        [node],
        ["n"],
        ["n", 1_000_000],
        {"table": table},
        x_type=TensorProto.INT64,
    )
    found = peak_memory(path)
    assert found.peak_bytes >= 200_000_000
    assert found.resident_bytes <= found.peak_bytes


def test_peak_memory_of_a_small_model_is_small_and_that_of_a_large_batch_is_not(
    tmp_path: Path,
) -> None:
    path = linear(tmp_path / "small.onnx", inputs=64, outputs=64)
    small = peak_memory(path).peak_bytes
    assert 0 <= small < 50_000_000
    # Input and output of 400,000 rows of 64 numbers, 102 MB each.
    assert (
        peak_memory(path, feeds={"x": np.ones((400_000, 64), np.float32)}).peak_bytes >= 200_000_000
    )


def test_the_inputs_that_are_given_are_those_that_are_run(tmp_path: Path) -> None:
    """A size that is an input: no model runs with any value."""
    nodes = [
        helper.make_node("Tile", ["two", "times"], ["t"]),
        helper.make_node("Add", ["x", "t"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [6], [6], {"two": np.ones(2, np.float32)})
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("times", TensorProto.INT64, [1]))
    onnx.save(model, path)
    feeds = {"x": np.ones(6, np.float32), "times": np.array([3])}
    assert peak_memory(path, feeds=feeds).peak_bytes >= 0
    with pytest.raises(MeasureError, match="the model failed"):
        peak_memory(path, feeds={**feeds, "times": np.array([4])})


def test_peak_memory_says_why_when_the_model_does_not_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "two"], ["y"])]
    broken = save(tmp_path / "m.onnx", nodes, ["n", 3], ["m"], {"two": np.array([2], np.int64)})
    with pytest.raises(MeasureError, match=r"m\.onnx: peak memory: the model failed"):
        peak_memory(broken)
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"garbage")
    with pytest.raises(MeasureError, match="cannot open it"):
        peak_memory(garbage)


def test_peak_memory_gives_up_when_it_takes_too_long(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="no result within"):
        peak_memory(linear(tmp_path / "m.onnx"), runs=10**9, timeout_s=2)


def test_peak_memory_says_that_the_child_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from squeeze.measure import memory

    monkeypatch.setattr(memory, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(MeasureError, match=r"ended by SIGKILL \(out of memory\?\)"):
        peak_memory(linear(tmp_path / "m.onnx"))
