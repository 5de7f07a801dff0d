"""Casts at the ends of a float32 graph: names stay, types are those of the interface, numbers too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import GraphProto, TensorProto, checker, helper, numpy_helper

from squeeze.export.ends import retype_ends
from squeeze.interface import Interface, TensorSpec

W = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
X = np.linspace(-2, 2, 20).reshape(5, 4)


def linear() -> ir.Model:
    """y = x w, k = the best of them, and x itself once more as an output."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["k"], axis=1, keepdims=0),
        helper.make_node("Relu", ["x"], ["x_float32"]),
        helper.make_node("Add", ["x_float32", "x"], ["r"]),
    ]
    ends = [
        helper.make_tensor_value_info(n, t, s)
        for n, t, s in (
            ("x", TensorProto.FLOAT, ["n", 4]),
            ("y", TensorProto.FLOAT, ["n", 3]),
            ("k", TensorProto.INT64, ["n"]),
            ("r", TensorProto.FLOAT, ["n", 4]),
        )
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(W, "w")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ir.serde.deserialize_model(proto)


def interface(dtype: str) -> Interface:
    outputs = (
        TensorSpec("y", dtype, (3,)),
        TensorSpec("k", "int64", ()),
        TensorSpec("r", dtype, (4,)),
    )
    return Interface((TensorSpec("x", dtype, (4,)),), outputs)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_ends_take_and_give_the_types_of_the_interface(dtype: str) -> None:
    model = linear()
    retype_ends(model, interface(dtype))
    proto = ir.serde.serialize_model(model)
    checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString())
    assert [v.name for v in session.get_inputs()] == ["x"]
    assert [v.name for v in session.get_outputs()] == ["y", "k", "r"]
    x = X.astype(dtype)
    y, k, r = session.run(None, {"x": x})
    inside = x.astype(np.float32)
    assert y.dtype == r.dtype == dtype
    np.testing.assert_array_equal(y, (inside @ W).astype(dtype))
    np.testing.assert_array_equal(k, (inside @ W).argmax(1))
    np.testing.assert_array_equal(r, (np.maximum(inside, 0) + inside).astype(dtype))
    assert sum(node.op_type == "Cast" for node in model.graph) == 3


def test_graph_of_the_same_types_is_left_alone() -> None:
    model = linear()
    retype_ends(model, interface("float32"))
    before, after = (ir.serde.serialize_model(m).SerializeToString() for m in (linear(), model))
    assert before == after


def test_nested_graphs_read_the_cast_input() -> None:
    def branch(name: str, op: str) -> GraphProto:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])
        return helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [output])

    nodes = [
        helper.make_node(
            "If", ["on"], ["y"], then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg")
        )
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "y")]
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    graph = helper.make_graph(nodes, "g", [ends[0], on], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = ir.serde.deserialize_model(proto)
    specs = (TensorSpec("x", "float64", (4,)), TensorSpec("on", "bool", (), None))
    retype_ends(model, Interface(specs, (TensorSpec("y", "float64", (4,)),)))
    session = ort.InferenceSession(ir.serde.serialize_model(model).SerializeToString())
    for choice, wanted in ((True, np.maximum(X, 0)), (False, -X)):
        (y,) = session.run(None, {"x": X, "on": np.array(choice)})
        assert y.dtype == np.float64
        np.testing.assert_allclose(y, wanted, atol=1e-6)
