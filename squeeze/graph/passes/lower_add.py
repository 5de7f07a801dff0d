"""Finds additions of two 8-bit tensors which QAdd computes, where no convolution or product takes them.

Taken: Add of two dequantised u8 tensors of equal, known shape -> [Relu | Clip] -> QuantizeLinear (u8); a Relu or Clip
       that is not the saturation of the quantiser becomes a Clip of the integers.
Left:  broadcasting, a tensor added to itself, s8, other functions before the quantiser.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.extents import same_shape
from squeeze.graph.layout import TO_LAST, Planned, Unit
from squeeze.graph.product import grid_inputs, sum_end, with_clip
from squeeze.graph.qdq import Reasons, Refused, dequantised
from squeeze.graph.values import is_op, rank

FAMILY = "QAdd"


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other additions of 8-bit tensors are left alone."""
    found: list[Unit] = []
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "Add") and all(dequantised(v) is not None for v in node.inputs):
            try:
                found.append(_match(node))
            except Refused as why:
                refused[node] = f"Add: {why}"
    return found, refused


def _match(node: ir.Node) -> Unit:
    a, b = (dequantised(value) for value in node.inputs)
    assert a is not None  # find
    assert b is not None
    if a.grid.dtype != "uint8" or b.grid.dtype != "uint8":
        raise Refused("a tensor is s8 and enters or leaves the graph so")
    if a.value is b.value:
        raise Refused("a tensor added to itself")
    if not same_shape(a.value, b.value):
        raise Refused("the shapes differ or are not known")
    last, y, clip = sum_end(node)
    inputs = {"a": a.value} | grid_inputs("a", a.grid) | {"b": b.value} | grid_inputs("b", b.grid)
    name = node.name or f"{y.value.name}_add"
    image = rank(y.value) in TO_LAST
    made = Planned(
        FAMILY,
        "QAdd",
        name,
        last,
        y.value,
        inputs | grid_inputs("y", y.grid),
        tied=("a", "b") if image else (),
    )
    return with_clip(made, clip, image=image)
