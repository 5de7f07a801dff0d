"""Weights of layers that are computed in float, stored as int8: also in the bodies of If, Loop and Scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import graph, runtimes
from squeeze.graph.unread import remove_unread
from squeeze.quant.stored import store_weights

RNG = np.random.default_rng(0)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def constant(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array((RNG.normal(size=shape) / 6).astype(np.float32), name)


def model(
    nodes: list[onnx.NodeProto], shape: list[int | str], constants: list[onnx.TensorProto]
) -> ir.Model:
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    made = helper.make_graph(nodes, "g", ends, out, constants)
    opsets = [helper.make_opsetid("", 17)]
    proto = helper.make_model(made, opset_imports=opsets, ir_version=8)
    return ir.serde.deserialize_model(proto)


def recurrent(op: str, directions: int) -> ir.Model:
    """x [5, n, 48] -> y [5, directions, n, 48]."""
    rows = GATES[op] * 48
    how = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(
        op, ["x", "w", "r", "b"], ["y"], name="layer", hidden_size=48, direction=how
    )
    constants = [
        constant("w", directions, rows, 48),
        constant("r", directions, rows, 48),
        constant("b", directions, 2 * rows),
    ]
    return model([node], [5, "n", 48], constants)


def run(made: ir.Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    (y,) = runtimes.session(graph.to_bytes(made)).run(None, {"x": x})
    return np.asarray(y)


def bytes_of(made: ir.Model) -> int:
    remove_unread(made)
    return len(graph.to_bytes(made))


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_take_a_quarter_and_give_what_their_rounded_weights_give(
    op: str, directions: int
) -> None:
    made, x = recurrent(op, directions), RNG.normal(size=(5, 3, 48)).astype(np.float32)
    wanted, before = run(made, x), bytes_of(made)
    weights = made.graph.initializers["r"].const_value.numpy()
    errors = store_weights(made.graph)
    small = op == "RNN" and directions == 1  # 2,304 numbers
    assert set(errors) == (set() if small else {"w", "r"})
    got = run(made, x)
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.02 * wanted.std()
    if small:
        return
    stored = made.graph.initializers["r_int8"].const_value.numpy()
    # A step is the largest number of a row, in both directions, over 127.
    step = np.abs(weights).max(axis=(0, 2), keepdims=True) / 127
    np.testing.assert_array_equal(stored, np.rint(weights / step.astype(np.float32)))
    assert bytes_of(made) < 0.33 * before


def test_a_layer_that_stays_float_keeps_its_weights() -> None:
    made = recurrent("LSTM", 1)
    assert store_weights(made.graph, {"y"}) == {}


def test_weights_that_something_else_reads_stay() -> None:
    made = recurrent("GRU", 1)
    node = ir.Node("", "ReduceSum", [made.graph.initializers["w"]], [ir.AttrInt64("keepdims", 0)])
    made.graph.append(node)
    node.outputs[0].name, node.outputs[0].type = "sum", ir.TensorType(ir.DataType.FLOAT)
    made.graph.outputs.append(node.outputs[0])
    assert set(store_weights(made.graph)) == {"r"}


def branches() -> ir.Model:
    """If the mean of x is above 0: Relu(x @ p) @ q, all in one branch; else x @ p of another constant in that graph."""

    def branch(name: str, *, deep: bool) -> onnx.GraphProto:
        inner = constant(f"{name}_q", 64, 64)
        nodes = [helper.make_node("Constant", [], [f"{name}_c"], value=constant("v", 64, 64))]
        nodes.append(helper.make_node("MatMul", ["x", f"{name}_c"], [f"{name}_1"]))
        nodes.append(helper.make_node("Relu", [f"{name}_1"], [f"{name}_2"]))
        weights = f"{name}_q" if deep else "p"
        nodes.append(helper.make_node("MatMul", [f"{name}_2", weights], [f"{name}_y"]))
        ends = [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)]
        return helper.make_graph(nodes, name, [], ends, [inner] if deep else [])

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["high"]),
        helper.make_node(
            "If",
            ["high"],
            ["y"],
            then_branch=branch("then", deep=True),
            else_branch=branch("else", deep=False),
        ),
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    return model(nodes, ["n", 64], [zero, constant("p", 64, 64)])


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_bodies_of_if_have_their_weights_in_int8(shift: float) -> None:
    made = branches()
    x = (RNG.normal(size=(4, 64)) + shift).astype(np.float32)
    wanted, before = run(made, x), bytes_of(made)
    assert set(store_weights(made.graph)) == {"then_c", "then_q", "else_c", "p"}
    got = run(made, x)
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.02 * wanted.std()
    assert bytes_of(made) < 0.35 * before


LAYERS = {
    "Conv": ((64, 48, 3), {}, 0),
    "Conv in groups": ((96, 24, 3), {"group": 2}, 0),
    "ConvTranspose": ((48, 64, 3), {}, 1),
    "Gemm": ((48, 96), {}, 1),
    "Gemm, transposed": ((96, 48), {"transB": 1}, 0),
    "MatMul": ((48, 96), {}, 1),
}


def one_layer(name: str) -> ir.Model:
    shape, how, _ = LAYERS[name]
    node = helper.make_node(name.split()[0].strip(","), ["x", "w"], ["y"], name="layer", **how)
    image = "Conv" in name
    return model([node], ["n", 48, 7] if image else ["n", 48], [constant("w", *shape)])


@pytest.mark.parametrize("name", LAYERS)
def test_float_layers_have_a_scale_for_each_output_channel(name: str) -> None:
    made, axis = one_layer(name), LAYERS[name][2]
    x = RNG.normal(size=(3, 48, 7) if "Conv" in name else (3, 48)).astype(np.float32)
    weights = made.graph.initializers["w"].const_value.numpy()
    wanted, before = run(made, x), bytes_of(made)
    assert set(store_weights(made.graph)) == {"w"}
    others = tuple(i for i in range(weights.ndim) if i != axis)
    step = np.abs(weights).max(axis=others, keepdims=True) / 127
    stored = made.graph.initializers["w_int8"].const_value.numpy()
    np.testing.assert_array_equal(stored, np.rint(weights / step.astype(np.float32)))
    assert np.sqrt(np.mean((run(made, x) - wanted) ** 2)) < 0.02 * wanted.std()
    assert bytes_of(made) < 0.33 * before


@pytest.mark.parametrize("name", LAYERS)
def test_the_runtime_makes_float_weights_of_them_when_it_opens_the_file(
    name: str, tmp_path: Path
) -> None:
    made = one_layer(name)
    store_weights(made.graph)
    remove_unread(made)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as-it-runs.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(graph.to_bytes(made), options)
    (node,) = onnx.load(tmp_path / "as-it-runs.onnx").graph.node
    assert node.op_type == name.split()[0].strip(",")


def test_transposed_convolutions_in_groups_stay() -> None:
    made = model(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=2)],
        ["n", 48, 7],
        [constant("w", 48, 64, 3)],
    )
    assert store_weights(made.graph) == {}
