"""Looking through pairs of QuantizeLinear and DequantizeLinear that stand between two float operators.

Tools put one around every operator that they know, also where no runtime computes in integers: inside of a
normalisation, between a product and its bias, around a residual sum.
"""

from __future__ import annotations

from collections.abc import Container

import onnx_ir as ir

from squeeze.graph.values import constant, is_op, producer


def before(value: ir.Value | None) -> ir.Value | None:
    """The float tensor that `value` is the rounded form of, or `value` itself. Constants are left as they are."""
    while (made := quantiser(value)) is not None and constant(made.inputs[0]) is None:
        value = made.inputs[0]
    return value


def quantiser(value: ir.Value | None) -> ir.Node | None:
    """The QuantizeLinear behind the DequantizeLinear that makes `value`, or None."""
    node = producer(value, "DequantizeLinear")
    return None if node is None else producer(node.inputs[0], "QuantizeLinear")


def readers(value: ir.Value) -> set[ir.Node] | None:
    """The nodes that read `value` or its rounded form; None where one of both is an output of the graph."""
    found: set[ir.Node] = set()
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if here.is_graph_output():
            return None
        for user, index in here.uses():
            if is_op(user, "QuantizeLinear", "DequantizeLinear") and index == 0:
                waiting.append(user.outputs[0])
            else:
                found.add(user)
    return found


def read_by(value: ir.Value, nodes: Container[ir.Node]) -> bool:
    """Whether nobody but `nodes` reads `value`, rounded or not."""
    found = readers(value)
    return found is not None and all(node in nodes for node in found)
