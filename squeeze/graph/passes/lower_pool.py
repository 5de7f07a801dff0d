"""Finds pools between 8-bit tensors which QMaxPool and QGlobalAveragePool compute.

Taken: MaxPool of u8 integers of one or two spatial dimensions; DequantizeLinear (u8) -> GlobalAveragePool ->
       QuantizeLinear (u8). ReduceMean over space and AveragePool over everything were written so before.
Left:  ceil_mode, indices, auto_pad, column order, other ranks, s8, AveragePool over a part.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph import qdq
from squeeze.graph.layout import TO_LAST, Planned, Unit
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Reasons, Refused, only_quantiser
from squeeze.graph.values import integer, integers, is_op, rank, text

FAMILY = "pools"


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other pools of 8-bit tensors are left alone."""
    found: list[Unit] = []
    refused: Reasons = {}
    for node in graph:
        try:
            if is_op(node, "MaxPool") and node.outputs[0].dtype == ir.DataType.UINT8:
                found.append((_max(node),))
            elif is_op(node, "GlobalAveragePool") and qdq.dequantised(node.inputs[0]) is not None:
                found.append((_average(node),))
        except Refused as why:
            refused[node] = f"{node.op_type}: {why}"
    return found, refused


def _max(node: ir.Node) -> Planned:
    x, dims = node.inputs[0], rank(node.inputs[0])
    if x is None or dims not in TO_LAST:
        raise Refused("not of one or two spatial dimensions")
    if len(node.outputs) > 1:
        raise Refused("its indices are used")
    if any(integer(node, name, 0) for name in ("ceil_mode", "storage_order")):
        raise Refused("ceil_mode or storage_order")
    if text(node, "auto_pad", "NOTSET") != "NOTSET":
        raise Refused("auto_pad of sizes that vary")
    space = dims - 2
    attributes = {
        "kernel_shape": integers(node, "kernel_shape") or [1] * space,
        "strides": integers(node, "strides") or [1] * space,
        "pads": integers(node, "pads") or [0] * 2 * space,
        "dilations": integers(node, "dilations") or [1] * space,
    }
    name = node.name or f"{node.outputs[0].name}_pool"
    return Planned(FAMILY, "QMaxPool", name, node, node.outputs[0], {"x": x}, attributes, free="x")


def _average(node: ir.Node) -> Planned:
    x, last = qdq.activation(node.inputs[0]), only_quantiser(node.outputs[0])
    y = qdq.quantised(last) if last is not None else None
    if last is None or y is None:
        raise Refused("its result is not quantised at once")
    if rank(x.value) not in TO_LAST:
        raise Refused("not of one or two spatial dimensions")
    inputs = {"x": x.value} | grid_inputs("x", x.grid) | grid_inputs("y", y.grid)
    name = node.name or f"{y.value.name}_pool"
    return Planned(FAMILY, "QGlobalAveragePool", name, last, y.value, inputs, free="x")
