"""Sizes of outputs that nobody named stay without a name, whatever the inference calls them."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import graph, quant
from squeeze.graph.inference import infer_sizes
from squeeze.spec import QuantPart
from tests.feeds import feed_of, interface_of, passes_of
from tests.graph.small import floats

DECLARED = [["n", 8, None, None], ["n", 8, "rows", "columns"], None]


def pooled(declared: list[int | str | None] | None) -> ir.Model:
    """x [n, 3, h, w] -> y [n, 8, h / 2, w / 2], of which nothing is known but that it depends on h and w."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    weights = [numpy_helper.from_array(floats(8, 3, 2, 2), "w")]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])]
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)]
    made = helper.make_graph(nodes, "g", ends, outs, weights)
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ir.serde.deserialize_model(proto)


def sizes(model: ir.Model) -> list[int | str | None]:
    (value,) = ir.serde.serialize_model(model).graph.output
    assert isinstance(value, onnx.ValueInfoProto)
    return [
        d.dim_value if d.HasField("dim_value") else d.dim_param or None
        for d in value.type.tensor_type.shape.dim
    ]


def wanted(declared: list[int | str | None] | None) -> list[int | str | None]:
    return ["n", 8, None, None] if declared is None else declared


@pytest.mark.parametrize("declared", DECLARED, ids=str)
def test_no_name_is_made_up_by_inference(declared: list[int | str | None] | None) -> None:
    model = pooled(declared)
    infer_sizes(model)
    assert sizes(model) == wanted(declared)


@pytest.mark.parametrize("declared", DECLARED, ids=str)
def test_no_name_is_made_up_from_passes_to_ops(declared: list[int | str | None] | None) -> None:
    model = pooled(declared)
    x = floats(4, 3, 8, 8)
    graph.optimise(model, feed_of(model, x), interface_of(model))
    part = QuantPart(enabled=True, samples=4)
    found = quant.quantize(model, passes_of(model, x), activations="uint8", part=part)
    lowered, _ = graph.lower(found.model)
    assert sizes(lowered) == wanted(declared)
