"""Nodes in bodies of If stay float where somebody said so, by what they or the node around them are called."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.quant.keep import kept, remember
from squeeze.quant.prepared import store
from tests.graph.small import floats, model, node


def branches() -> ir.Model:
    """x @ a or x @ b, of 64 by 64 numbers each."""

    def branch(name: str) -> onnx.GraphProto:
        product = helper.make_node(
            "MatMul", ["x", f"{name}_w"], [f"{name}_y"], name=f"{name}_product"
        )
        weights = numpy_helper.from_array(floats(64, 64), f"{name}_w")
        ends = [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)]
        return helper.make_graph([product], name, [], ends, [weights])

    nodes = [
        node("ReduceMean", ["x"], ["mean"], keepdims=0),
        node("Greater", ["mean", "zero"], ["high"]),
        node(
            "If",
            ["high"],
            ["y"],
            name="choice",
            then_branch=branch("then"),
            else_branch=branch("else"),
        ),
    ]
    return model(nodes, {"zero": floats(1)[0] * 0}, (64,))


@pytest.mark.parametrize(
    ("patterns", "stored"),
    [
        ([], {"then_w", "else_w"}),
        (["then_product"], {"else_w"}),
        (["MatMul"], set()),
        (["choice"], set()),
    ],
)
def test_weights_of_kept_nodes_in_bodies_are_not_stored_in_int8(
    patterns: list[str], stored: set[str]
) -> None:
    made = branches()
    assert store(made, kept(made, patterns)).weights.keys() == stored


def test_nodes_in_bodies_are_known_by_what_they_were_called() -> None:
    made = branches()
    before = remember(made, ["then_product"])
    for inner in ir.traversal.RecursiveGraphIterator(made.graph):
        inner.name = None
        for value in inner.outputs:
            value.name = f"{value.name}_renamed"
    assert kept(made, ["then_product"], before) == {"then_y_renamed"}
