"""What no runtime needs is taken out: identities, dead nodes, constants in disguise, functions, old opsets."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.graph.passes.clean import clean
from squeeze.graph.passes.fold_constants import fold_constants
from squeeze.graph.passes.raise_opset import raise_opset
from squeeze.graph.passes.remove_identities import remove_identities
from tests.graph.small import floats, model, node, ops, run

NOTHING = {
    "identity": node("Identity", ["r"], ["d"]),
    "dropout": node("Dropout", ["r"], ["d"]),
    "cast": node("Cast", ["r"], ["d"], to=TensorProto.FLOAT),
    "transpose": node("Transpose", ["r"], ["d"], perm=[0, 1, 2, 3]),
    "concat": node("Concat", ["r"], ["d"], axis=1),
    "pad": node("Pad", ["r", "zeros"], ["d"]),
    "pool": node("MaxPool", ["r"], ["d"], kernel_shape=[1, 1]),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_node_that_does_nothing_is_removed(kind: str) -> None:
    graph = model(
        [node("Relu", ["x"], ["r"]), NOTHING[kind], node("Neg", ["d"], ["y"])],
        {"zeros": np.zeros(8, np.int64)},
        (3, 4, 4),
    )
    assert remove_identities(graph)
    assert ops(graph) == ["Relu", "Neg"]
    assert not remove_identities(graph)


def test_output_keeps_its_name_when_an_identity_before_it_is_removed() -> None:
    graph = model([node("Relu", ["x"], ["r"]), node("Identity", ["r"], ["y"])], {}, (3,))
    assert remove_identities(graph)
    assert [o.name for o in graph.graph.outputs] == ["y"]
    np.testing.assert_array_equal(run(graph, np.float32([[-1, 0, 2]])), [[0, 0, 2]])


def test_identity_between_input_and_output_is_left_alone() -> None:
    assert not remove_identities(model([node("Identity", ["x"], ["y"])], {}, (3,)))


def test_nodes_that_do_something_are_left_alone() -> None:
    graph = model(
        [
            node("MaxPool", ["x"], ["p"], kernel_shape=[1, 1], strides=[2, 2]),
            node("Transpose", ["p"], ["t"], perm=[0, 1, 3, 2]),
            node("Dropout", ["t", "ratio", "on"], ["y"]),
        ],
        {"ratio": np.float32(0.5), "on": np.bool_(True)},
        (3, 4, 6),
    )
    assert not remove_identities(graph)


def test_what_depends_on_constants_is_computed() -> None:
    graph = model(
        [
            node("Transpose", ["w"], ["wt"], perm=[1, 0]),
            node("Mul", ["wt", "two"], ["w2"]),
            node("MatMul", ["x", "w2"], ["y"]),
        ],
        {"w": floats(120, 100), "two": np.float32(2)},
        (100,),
    )
    x = floats(2, 100)
    expected = run(graph, x)
    assert fold_constants(graph)
    clean(graph)
    assert ops(graph) == ["MatMul"]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5, atol=1e-5)
    assert not fold_constants(graph)


def test_int8_weights_stay_int8() -> None:
    graph = model(
        [node("DequantizeLinear", ["w", "s"], ["wf"]), node("MatMul", ["x", "wf"], ["y"])],
        {"w": np.ones((4, 3), np.int8), "s": np.float32(0.5)},
        (4,),
    )
    assert not fold_constants(graph)


def test_dead_nodes_constant_nodes_and_doc_strings_go() -> None:
    value = numpy_helper.from_array(np.float32(2))
    documented = node(
        "Mul", ["x", "two"], ["y"], doc_string="exported from /home/somebody/model.py"
    )
    graph = model(
        [node("Constant", [], ["two"], value=value), node("Exp", ["x"], ["dead"]), documented],
        {},
        (3,),
    )
    assert clean(graph)
    assert ops(graph) == ["Mul"]
    assert graph.graph[0].doc_string is None
    assert not clean(graph)


def test_functions_of_the_file_are_inlined_and_ours_are_kept() -> None:
    def double(domain: str) -> onnx.FunctionProto:
        body = [node("Add", ["a", "a"], ["b"])]
        return helper.make_function(
            domain, "Double", ["a"], ["b"], body, [helper.make_opsetid("", 20)]
        )

    graph = model(
        [
            node("Double", ["x"], ["d"], domain="theirs"),
            node("Double", ["d"], ["y"], domain="ai.squeeze"),
        ],
        {},
        (3,),
        functions=[double("theirs"), double("ai.squeeze")],
    )
    assert clean(graph)
    assert ops(graph) == ["Add", "Double"]
    np.testing.assert_array_equal(run(graph, np.float32([[1, 2, 3]])), [[4, 8, 12]])


def test_weights_listed_as_inputs_become_constants() -> None:
    proto = onnx.helper.make_model(
        helper.make_graph(
            [node("MatMul", ["x", "w"], ["y"])],
            "old",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
                helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
            [numpy_helper.from_array(floats(4, 3), "w")],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    import onnx_ir as ir

    graph = ir.serde.deserialize_model(proto)
    assert clean(graph)
    assert [i.name for i in graph.graph.inputs] == ["x"]


def test_old_opset_is_raised_to_thirteen() -> None:
    graph = model(
        [
            node("Clip", ["x", "low", "high"], ["c"]),
            node("ReduceSum", ["c"], ["s"], axes=[2, 3], keepdims=1),
            node("Squeeze", ["s"], ["y"], axes=[2, 3]),
        ],
        {"low": np.float32(0), "high": np.float32(6)},
        (3, 4, 4),
        opset=11,
    )
    x = 5 * floats(2, 3, 4, 4)
    assert raise_opset(graph)
    assert graph.graph.opset_imports[""] == 13
    np.testing.assert_allclose(run(graph, x), np.clip(x, 0, 6).sum((2, 3)), rtol=1e-5)
    assert not raise_opset(graph)


def test_names_of_sizes_that_the_user_gave_an_output_stay() -> None:
    graph = model(
        [node("Conv", ["x", "w"], ["c"], strides=[2]), node("Identity", ["c"], ["y"])],
        {"w": floats(4, 3, 3)},
        (3, "t"),
    )
    graph.graph.outputs[0].shape = ir.Shape(["n", 4, "t2"])
    fold_constants(graph)
    assert str(graph.graph.outputs[0].shape) == "[n,4,t2]"
    remove_identities(graph)
    assert str(graph.graph.outputs[0].shape) == "[n,4,t2]"
