"""Finds products of rows that are quantised when they are there (`quant/by_row.py`), which QGemmByRow computes.

Taken: the operators that `ops/qgemmbyrow.py` writes, and an Add of a constant row behind them.
Left:  rows quantised in another way, as by DynamicQuantizeLinear, which has one scale for all of them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.layout import Planned, Unit
from squeeze.graph.qdq import Array, Reasons
from squeeze.graph.values import axes_of, constant, integer, is_op, only_user, producer
from squeeze.ops.qgemmbyrow import STEPS, TINY, ZERO_POINT

FAMILY = "QGemmByRow"


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made; nothing else looks like one of them."""
    matched = (_match(node) for node in graph if is_op(node, "MatMulInteger"))
    return [(plan,) for plan in matched if plan is not None], {}


def _match(node: ir.Node) -> Planned | None:
    columns = constant(node.inputs[1])
    if columns is None or columns.dtype != np.int8 or columns.ndim != 2 or len(node.inputs) != 3:
        return None
    rows = _rows(node.inputs[0])
    if rows is None or _number(node.inputs[2]) != ZERO_POINT:
        return None
    a, largest = rows
    real = only_user(node.outputs[0])
    by_scale = None if real is None or not is_op(real, "Cast") else only_user(real.outputs[0])
    scale = _row(by_scale, real, columns.shape[1])
    by_row = None if by_scale is None else only_user(by_scale.outputs[0])
    if scale is None or by_row is None or by_scale is None or not is_op(by_row, "Mul"):
        return None
    of_row = producer(by_row.inputs[1], "Mul")
    if of_row is None or of_row.inputs[0] is not largest:
        return None
    if _number(of_row.inputs[1]) != float(np.float32(1) / np.float32(STEPS)):
        return None
    last, bias = by_row, np.zeros_like(scale)
    behind = only_user(by_row.outputs[0])
    if behind is not None and is_op(behind, "Add"):
        added = _row(behind, by_row, columns.shape[1])
        if added is not None:
            last, bias = behind, added
    inputs: dict[str, ir.Value | Array] = {"a": a, "b": np.ascontiguousarray(columns.T)}
    inputs |= {"b_scale": scale, "bias": bias}
    y = last.outputs[0]
    return Planned(FAMILY, FAMILY, node.name or f"{y.name}_by_row", last, y, inputs)


def _rows(value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
    """The float matrix that the bytes stand for, and the largest of each row."""
    cast = producer(value, "Cast")
    moved = None if cast is None else producer(cast.inputs[0], "Add")
    if cast is None or integer(cast, "to", 0) != ir.DataType.UINT8 or moved is None:
        return None
    steps = producer(moved.inputs[0], "Round")
    scaled = None if steps is None else producer(steps.inputs[0], "Mul")
    per_unit = None if scaled is None else producer(scaled.inputs[1], "Div")
    if scaled is None or per_unit is None or _number(moved.inputs[1]) != ZERO_POINT:
        return None
    a, most = scaled.inputs[0], producer(per_unit.inputs[1], "Max")
    if a is None or most is None or _number(per_unit.inputs[0]) != STEPS:
        return None
    reduced = producer(most.inputs[0], "ReduceMax")
    size = None if reduced is None else producer(reduced.inputs[0], "Abs")
    if reduced is None or size is None or size.inputs[0] is not a or not _over_last(reduced):
        return None
    tiny = _number(most.inputs[1])
    return (a, most.outputs[0]) if tiny == float(np.float32(TINY)) else None


def _over_last(reduced: ir.Node) -> bool:
    return axes_of(reduced) == [-1] and integer(reduced, "keepdims", 1) == 1


def _row(node: ir.Node | None, source: ir.Node | None, width: int) -> Array | None:
    """The constant row that a node of two inputs has beside what `source` gives."""
    if node is None or source is None or not is_op(node, "Add", "Mul"):
        return None
    value = source.outputs[0]
    found = constant(node.inputs[1] if node.inputs[0] is value else node.inputs[0])
    fits = found is not None and found.dtype == np.float32 and found.shape == (width,)
    return found if fits else None


def _number(value: ir.Value | None) -> float | None:
    found = constant(value)
    return None if found is None or found.size != 1 else float(found.item())
