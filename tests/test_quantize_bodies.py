"""`squeeze quantize` of a model whose layers are all inside of an If: stored in 8 bits whatever bits were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import started

WIDTH = 64


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))


def branch(name: str, random: np.random.Generator) -> onnx.GraphProto:
    weights = random.normal(size=(WIDTH, WIDTH)).astype(np.float32)
    return helper.make_graph(
        [
            helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_p"]),
            helper.make_node("Relu", [f"{name}_p"], [f"{name}_y"]),
        ],
        name,
        [],
        [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(weights, f"{name}_w")],
    )


def forked(path: Path) -> Path:
    random = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node(
                "If",
                ["positive"],
                ["y"],
                name="fork",
                then_branch=branch("a", random),
                else_branch=branch("b", random),
            ),
        ],
        "forked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(np.float32(0), "zero")],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def test_fewer_bits_give_the_file_of_8_where_no_layer_is_int8(tmp_path: Path) -> None:
    source, out = forked(tmp_path / "forked.onnx"), tmp_path / "out.onnx"
    random = np.random.default_rng(1)
    np.savez(tmp_path / "data.npz", x=random.normal(size=(100, WIDTH)).astype(np.float32))
    done = started.run(
        "quantize", source, "--calib", tmp_path / "data.npz", "-o", out, "--bits", "4",
        "--for", "size", "--threads", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bits"] == 8
    assert "the file of 8 bits" in found["at_8_bits"]
    assert out.stat().st_size < source.stat().st_size / 2
    # What is not known of its multiplications is said once, of the model, and not of each file that is made of it.
    said = [line for line in done.stderr.splitlines() if "fork" in line]
    assert len(said) == 1
    assert said[0].count("fork (If)") == 1
