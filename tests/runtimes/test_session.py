from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze import ops
from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes import ort, run, session
from tests.measure.models import conv, linear, relu, save

X = np.array([[1, 2, 3], [0, 0, 0], [-1, 0, 1], [2, 2, 2], [0, 1, 0]], np.float32)
# By hand: y_j = sum_i x_i (i + j) + 1.
Y = np.array([[9, 15], [1, 1], [3, 3], [7, 13], [2, 3]], np.float32)


def double(path: Path) -> Path:
    """ai.squeeze::Twice, which no library has: its body x + x must run."""
    body = helper.make_function(
        "ai.squeeze",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    node = helper.make_node("Twice", ["x"], ["y"], domain="ai.squeeze")
    return save(path, [node], ["n", 2], ["n", 2], functions=[body], domains=("ai.squeeze",))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_run_gives_the_same_outputs_when_batches_differ(tmp_path: Path, batch_size: int) -> None:
    assert np.array_equal(run(linear(tmp_path / "m.onnx"), X, batch_size), Y)


@pytest.mark.parametrize("fixed", [1, 2, 4, 7])
def test_run_fills_up_the_last_chunk_when_the_batch_is_fixed(tmp_path: Path, fixed: int) -> None:
    model = session(linear(tmp_path / "m.onnx", batch=fixed))
    assert np.array_equal(run(model, X), Y)


def test_run_takes_bytes_and_casts_doubles(tmp_path: Path) -> None:
    data = linear(tmp_path / "m.onnx").read_bytes()
    assert np.array_equal(run(data, X.astype(np.float64)), Y)


def test_run_casts_integers_when_no_value_changes(tmp_path: Path) -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    path = save(tmp_path / "m.onnx", [node], ["n", 2], ["n", 2], x_type=TensorProto.UINT8)
    assert np.array_equal(run(path, np.array([[0, 255]], np.int64)), [[0, 255]])
    with pytest.raises(ConfigError, match="got int64 values, the model takes uint8"):
        run(path, np.array([[0, 256]], np.int64))
    with pytest.raises(ConfigError, match="got float32 values"):
        run(path, np.array([[0.5, 1]], np.float32))


def test_run_names_the_shapes_when_the_input_does_not_fit(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"'x': got shape \[5, 2\], the model takes \[n, 3\]"):
        run(path, X[:, :2])
    with pytest.raises(ConfigError, match="no samples"):
        run(path, X[:0])


def test_what_the_runtime_says_of_sizes_is_not_cut_off(tmp_path: Path) -> None:
    opened = session(linear(tmp_path / "m.onnx"))
    with pytest.raises(ort.ORT_ERRORS) as raised:
        opened.run(None, {"x": X[:, :2]})
    said = ort.first_line(raised.value)
    assert "index: 1 Got: 2 Expected: 3" in said
    assert "\n" not in said


def test_run_refuses_a_model_with_two_inputs(tmp_path: Path) -> None:
    path = tmp_path / "two.onnx"
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("a", "b", "y")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["y"])], "g", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="inputs a, b and outputs y"):
        run(path, np.zeros((1,), np.float32))


def test_run_refuses_an_output_without_the_batch(tmp_path: Path) -> None:
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    path = save(tmp_path / "m.onnx", [node], ["n", 2], [])
    with pytest.raises(MeasureError, match="first dimension must be the batch"):
        run(path, np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08\x3a\xff\xff"])
def test_session_says_which_file_when_it_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(MeasureError, match=r"bad\.onnx: onnxruntime .* cannot open it"):
        session(path)


def test_session_says_which_file_when_it_is_missing_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"absent\.onnx: cannot be read"):
        session(tmp_path / "absent.onnx")
    whole = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=6)
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(MeasureError, match=r"m\.onnx: .* cannot open it"):
        session(whole)


def test_session_without_optimisation_keeps_every_node(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["i"]), helper.make_node("Relu", ["i"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [1], [1])
    kept = tmp_path / "kept.onnx"
    session(path, optimise=False, optimised_path=kept)
    fewer = tmp_path / "fewer.onnx"
    session(path, optimised_path=fewer)
    assert b"Identity" in kept.read_bytes()
    assert b"Identity" not in fewer.read_bytes()


def test_session_refuses_no_threads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="threads: got 0"):
        session(relu(tmp_path / "m.onnx", [1]), threads=0)


@pytest.mark.parametrize("native", [True, False])
def test_session_runs_the_body_of_an_op_that_no_library_has(tmp_path: Path, native: bool) -> None:
    opened = session(double(tmp_path / "m.onnx"), native=native)
    assert np.array_equal(run(opened, np.array([[1, -2]], np.float32)), [[2, -4]])


def test_session_warns_and_runs_the_body_when_the_library_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(ops, "library_path", lambda: broken)
    ort._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            opened = session(double(tmp_path / "m.onnx"))
    assert np.array_equal(run(opened, np.array([[1, -2]], np.float32)), [[2, -4]])
    assert len(caplog.records) == 1
    assert "broken.so will not load" in caplog.text
    assert "plain ONNX" in caplog.text


def test_session_warns_when_there_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ops, "library_path", lambda: None)
    ort._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        session(double(tmp_path / "m.onnx"), native=False)
        session(relu(tmp_path / "plain.onnx", [1]))
        assert not caplog.records
        session(double(tmp_path / "m.onnx"))
    assert "no native library" in caplog.text


def test_session_loads_a_copy_of_a_library_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = ops.library_path()
    if library is None:
        pytest.skip("the native library is not built")
    copy = tmp_path / "copy.so"
    shutil.copy(library, copy)
    monkeypatch.setattr(ops, "library_path", lambda: copy)
    ort._warn_once.cache_clear()
    session(double(tmp_path / "m.onnx"))
    assert not caplog.records


def test_file_of_a_newer_onnx_is_refused_in_plain_words(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    made = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y]), ir_version=99
    )
    onnx.save(made, tmp_path / "new.onnx")
    with pytest.raises(MeasureError) as caught:
        session(tmp_path / "new.onnx")
    assert "failed: Unsupported model IR version: 99, max supported" in str(caught.value)
    assert "; save it with model.ir_version = 10" in str(caught.value)
    assert "::" not in str(caught.value)
