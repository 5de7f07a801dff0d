"""Files of some hundred bytes that ask for many gigabytes, or for years: by their constants, or by one sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
# Of four bytes each.
NUMBERS = 1 << 31


def constant_of_shape() -> onnx.ModelProto:
    one = helper.make_tensor("one", FLOAT, [1], [1.0])
    return _with_constant(
        [helper.make_node("ConstantOfShape", ["n"], ["big"], value=one)], n=[NUMBERS]
    )


def expand() -> onnx.ModelProto:
    return _with_constant([helper.make_node("Expand", ["one", "n"], ["big"])], n=[NUMBERS])


def numbers_in_a_row() -> onnx.ModelProto:
    node = helper.make_node("Range", ["zero", "n", "step"], ["big"])
    return _with_constant([node], zero=0, n=NUMBERS, step=1)


def pad() -> onnx.ModelProto:
    return _with_constant([helper.make_node("Pad", ["one", "n"], ["big"])], n=[0, NUMBERS])


def resize() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Reshape", ["one", "ones"], ["point"]),
        helper.make_node("Resize", ["point", "", "", "n"], ["big"], mode="nearest"),
    ]
    return _with_constant(nodes, ones=[1] * 4, n=[1, 1, 1 << 16, NUMBERS >> 16])


def one_hot() -> onnx.ModelProto:
    node = helper.make_node("OneHot", ["at", "n", "pair"], ["big"])
    return _with_constant([node], at=[0, 1], n=[NUMBERS // 2], pair=[0, 1])


def doubled_constant() -> onnx.ModelProto:
    """Each of 31 nodes joins what the one before gave with itself: sizes are inferred in as many numbers."""
    names = ["one", *(f"twice{i}" for i in range(30)), "big"]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    return _with_constant(nodes)


def doubled_sample() -> onnx.ModelProto:
    names = ["x", *(f"twice{i}" for i in range(28))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=1) for a, b in pairwise(names)]
    nodes.append(helper.make_node("ReduceMax", [names[-1]], ["y"], axes=[1]))
    return _model(nodes)


def expanded_sample() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "first"], ["u"]),
        helper.make_node("Expand", ["u", "n"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["y"], axes=[0], keepdims=0),
    ]
    return _model(nodes, first=[0], n=[NUMBERS // 4, 1, 4])


def wide_borders() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Reshape", ["x", "image"], ["i"]),
        helper.make_node("Reshape", ["one", "ones"], ["w"]),
        helper.make_node("Conv", ["i", "w"], ["c"], pads=[1 << 15] * 4),
        helper.make_node("GlobalMaxPool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    return _model(nodes, image=[-1, 1, 2, 2], ones=[1] * 4)


def loops_in_loops() -> onnx.ModelProto:
    """100 to the ninth additions."""
    body = None
    for depth in range(9):
        go, state, go_on, after = (f"{name}{depth}" for name in ("go", "s", "on", "after"))
        nodes = [
            helper.make_node("Identity", [go], [go_on]),
            helper.make_node("Add", [state, "one"], [after])
            if body is None
            else helper.make_node("Loop", ["times", "", state], [after], body=body),
        ]
        ends = [
            [(f"i{depth}", INT64, []), (go, BOOL, []), (state, FLOAT, None)],
            [(go_on, BOOL, []), (after, FLOAT, None)],
        ]
        values = [[helper.make_tensor_value_info(*end) for end in side] for side in ends]
        body = helper.make_graph(nodes, f"body{depth}", *values)
    return _model([helper.make_node("Loop", ["times", "", "x"], ["y"], body=body)], times=100)


BOMBS: dict[str, Callable[[], onnx.ModelProto]] = {
    "constant_of_shape": constant_of_shape,
    "doubled_constant": doubled_constant,
    "doubled_sample": doubled_sample,
    "expand": expand,
    "expanded_sample": expanded_sample,
    "numbers_in_a_row": numbers_in_a_row,
    "one_hot": one_hot,
    "pad": pad,
    "resize": resize,
    "wide_borders": wide_borders,
}


def _with_constant(nodes: list[onnx.NodeProto], **constants: object) -> onnx.ModelProto:
    """The largest number of `big`, which `nodes` make, is added to each sample."""
    nodes += [
        helper.make_node("ReduceMax", ["big"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["added"], to=FLOAT),
        helper.make_node("Add", ["x", "added"], ["y"]),
    ]
    return _model(nodes, **constants)


def _model(nodes: Sequence[onnx.NodeProto], **constants: object) -> onnx.ModelProto:
    """constants: whole numbers; and `one`, which is a float."""
    stored = [numpy_helper.from_array(np.asarray([1], np.float32), "one")]
    stored += [numpy_helper.from_array(np.asarray(v, np.int64), k) for k, v in constants.items()]
    graph = helper.make_graph(
        nodes,
        "bomb",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
