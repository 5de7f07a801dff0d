"""Sizes are read of the earliest tensor that has them, and what is in between is not asked."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from squeeze.graph.inference import infer_sizes
from squeeze.graph.passes.clean import clean
from squeeze.graph.passes.read_sizes_early import read_sizes_early
from tests.graph.small import floats, model, node, run

WIDTH, HEADS = 8, 2
SIZE = WIDTH // HEADS
X = floats(2, 5, WIDTH)
CONSTANTS = {
    "w": floats(WIDTH, WIDTH, seed=1),
    "row": floats(WIDTH, seed=2),
    "first": np.array(0, np.int64),
    "second": np.array(1, np.int64),
    "third": np.array(2, np.int64),
    "last": np.array(-1, np.int64),
    "axis": np.array([0], np.int64),
    "size": np.array([SIZE], np.int64),
    "heads": np.array([HEADS], np.int64),
    "minus": np.array([-1], np.int64),
    "all": np.array([0, 0, HEADS, SIZE], np.int64),
    "two": np.float32(2),
    "over": np.array([1], np.int64),
    "width": np.array([WIDTH], np.int64),
    "keep": np.array([True, False, True, True, False]),
}


def graph_of(nodes: list[onnx.NodeProto]) -> ir.Model:
    found = model(nodes, CONSTANTS, ("length", WIDTH))
    infer_sizes(found)
    return found


def size(value: str, index: str, name: str) -> list[onnx.NodeProto]:
    """The size of one axis, as exporters take it, with one dimension."""
    return [
        node("Shape", [value], [f"{name}_shape"]),
        node("Gather", [f"{name}_shape", index], [f"{name}_scalar"], axis=0),
        node("Unsqueeze", [f"{name}_scalar", "axis"], [name]),
    ]


def read(graph: ir.Model) -> set[str]:
    """Whose sizes are asked for."""
    return {str(n.inputs[0].name) for n in graph.graph if n.op_type == "Shape" and n.inputs[0]}


def attention() -> ir.Model:
    """One layer, whose sizes are asked for at every step, with residual and normalisation."""
    nodes = [
        node("MatMul", ["x", "w"], ["product"]),
        node("Add", ["product", "row"], ["q"]),
        *size("q", "first", "b"),
        *size("q", "second", "s"),
        node("Concat", ["b", "s", "heads", "size"], ["split"], axis=0),
        node("Reshape", ["q", "split"], ["parts"]),
        node("Transpose", ["parts"], ["turned"], perm=[0, 2, 1, 3]),
        node("Transpose", ["parts"], ["keys"], perm=[0, 2, 3, 1]),
        node("MatMul", ["turned", "keys"], ["scores"]),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "turned"], ["mixed"]),
        node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]),
        *size("back", "first", "b2"),
        *size("mixed", "third", "s2"),
        node("Concat", ["b2", "s2", "minus"], ["joined"], axis=0),
        node("Reshape", ["back", "joined"], ["flat"]),
        node("Add", ["flat", "x"], ["sum"]),
        node("LayerNormalization", ["sum", "row", "row"], ["norm"]),
        *size("norm", "second", "s3"),
        *size("norm", "first", "b3"),
        *size("norm", "last", "w3"),
        node("Concat", ["b3", "s3", "w3"], ["same"], axis=0),
        node("Reshape", ["norm", "same"], ["y"]),
    ]
    return graph_of(nodes)


def test_all_sizes_of_a_layer_come_of_its_input() -> None:
    graph = attention()
    wanted = run(graph, X)
    assert read_sizes_early(graph)
    clean(graph)
    assert read(graph) == {"x"}
    for x in (X, floats(1, 9, WIDTH)):
        assert run(graph, x).shape == x.shape
    np.testing.assert_array_equal(run(graph, X), wanted)
    infer_sizes(graph)
    assert not read_sizes_early(graph)


def test_size_that_is_known_is_a_constant() -> None:
    graph = graph_of(
        [
            node("MatMul", ["x", "w"], ["product"]),
            *size("product", "last", "n"),
            *size("x", "first", "b"),
            node("Concat", ["b", "n", "minus"], ["to"], axis=0),
            node("Reshape", ["product", "to"], ["y"]),
        ]
    )
    wanted = run(graph, X)
    assert read_sizes_early(graph)
    clean(graph)
    assert [n.op_type for n in graph.graph].count("Shape") == 1
    np.testing.assert_array_equal(run(graph, X), wanted)


def test_size_that_a_shape_gives_alone_is_read_early() -> None:
    graph = graph_of(
        [
            node("Pow", ["x", "two"], ["square"]),
            node("Shape", ["square"], ["s"], start=1, end=2),
            node("Concat", ["s", "minus", "size"], ["to"], axis=0),
            node("Reshape", ["square", "to"], ["y"]),
        ]
    )
    wanted = run(graph, X)
    assert read_sizes_early(graph)
    clean(graph)
    assert read(graph) == {"x"}
    np.testing.assert_array_equal(run(graph, X), wanted)


@pytest.mark.parametrize(
    "nodes",
    [
        # Either of them may have 1 there.
        [
            node("NonZero", ["x"], ["places"]),
            node("Cast", ["places"], ["numbers"], to=1),
            node("Unsqueeze", ["numbers", "axis"], ["b"]),
            node("Mul", ["b", "b"], ["last_value"]),
        ],
        # A Reshape to sizes that are not known.
        [
            node("Shape", ["x"], ["sizes"]),
            node("Reshape", ["x", "sizes"], ["last_value"]),
        ],
        # Its number of rows hangs on the numbers.
        [node("Compress", ["x", "keep"], ["last_value"], axis=1)],
    ],
    ids=["computed", "reshape", "compress"],
)
def test_what_may_have_another_size_is_asked_itself(nodes: list[onnx.NodeProto]) -> None:
    graph = graph_of(
        [
            *nodes,
            *size("last_value", "second", "n"),
            node("Cast", ["n"], ["real"], to=1),
            node("Mul", ["x", "real"], ["y"]),
        ]
    )
    wanted = run(graph, X)
    read_sizes_early(graph)
    clean(graph)
    np.testing.assert_array_equal(run(graph, X), wanted)


def test_of_two_sides_the_one_that_is_not_stretched_counts() -> None:
    graph = graph_of(
        [
            node("ReduceMean", ["x", "over"], ["mean"], keepdims=1),
            node("Sub", ["mean", "x"], ["away"]),
            *size("away", "second", "s"),
            node("Concat", ["minus", "s", "width"], ["to"], axis=0),
            node("Reshape", ["away", "to"], ["y"]),
        ]
    )
    wanted = run(graph, X)
    assert read_sizes_early(graph)
    clean(graph)
    assert read(graph) == {"x"}
    np.testing.assert_array_equal(run(graph, X), wanted)
