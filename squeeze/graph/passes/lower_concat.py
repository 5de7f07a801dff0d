"""Finds concatenations of 8-bit tensors which QConcat computes.

Taken: Concat of two to four dequantised u8 tensors -> QuantizeLinear (u8); more than two become a chain, in which the
       first step already is on the final grid, so that nothing is rounded twice.
Left:  more tensors, s8, a result that is not quantised at once.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.layout import TO_LAST, Planned, Unit
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Quantised, Reasons, Refused, dequantised, only_quantiser, quantised
from squeeze.graph.values import integer, is_op, rank

FAMILY = "QConcat"
MOST_INPUTS = 4


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other concatenations of 8-bit tensors are left alone."""
    found: list[Unit] = []
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "Concat") and any(dequantised(v) is not None for v in node.inputs):
            try:
                found.append(_match(node))
            except Refused as why:
                refused[node] = f"Concat: {why}"
    return found, refused


def _match(node: ir.Node) -> Unit:
    parts = [d for value in node.inputs if (d := dequantised(value)) is not None]
    if len(parts) != len(node.inputs) or any(p.grid.dtype != "uint8" for p in parts):
        raise Refused("not all of its inputs are quantised to u8")
    if not 2 <= len(parts) <= MOST_INPUTS:
        raise Refused(f"{len(parts)} inputs, {MOST_INPUTS} at most")
    last = only_quantiser(node.outputs[0])
    y = quantised(last) if last is not None else None
    dims = rank(parts[0].value)
    if last is None or y is None:
        raise Refused("its result is not quantised at once")
    if dims is None:
        raise Refused("its rank is not known")
    axis = integer(node, "axis", 0) % dims
    name = node.name or f"{y.value.name}_concat"
    planned: list[Planned] = []
    joined = parts[0]
    for i, part in enumerate(parts[1:], 1):
        target = y.value if part is parts[-1] else _partial(y.value, parts[: i + 1], axis, i)
        inputs = {"a": joined.value} | grid_inputs("a", joined.grid)
        inputs |= {"b": part.value} | grid_inputs("b", part.grid) | grid_inputs("y", y.grid)
        tied = ("a", "b") if dims in TO_LAST else ()
        step = name if target is y.value else f"{name}_{i}"
        planned.append(
            Planned(FAMILY, "QConcat", step, last, target, inputs, {"axis": axis}, tied=tied)
        )
        joined = Quantised(target, y.grid)
    return tuple(planned)


def _partial(y: ir.Value, parts: list[Quantised], axis: int, number: int) -> ir.Value:
    """The concatenation of the first parts."""
    shape = None
    shapes = [p.value.shape for p in parts]
    if all(s is not None for s in shapes) and shapes[0] is not None:
        along = [s[axis] for s in shapes if s is not None]
        fixed = [size for size in along if isinstance(size, int)]
        shape = ir.Shape(shapes[0])
        shape[axis] = sum(fixed) if len(fixed) == len(along) else None
    return ir.Value(name=f"{y.name}_{number}", type=y.type, shape=shape)
