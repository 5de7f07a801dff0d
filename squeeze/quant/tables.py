"""Embedding tables in int8: a quarter of the bytes, for one DequantizeLinear of the rows that were looked up.

Cases: Gather along the first axis of a constant float matrix of 16,384 numbers or more, one scale for all of it.
Left:  smaller tables; tables that one scale cannot hold to 2 % of their deviation.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, constant, integer, is_op, replace
from squeeze.quant.ranges.grid import SMALLEST_SCALE

LEAST_NUMBERS = 1 << 14
LARGEST_ERROR = 0.02
LIMIT = 127


def quantise_tables(graph: ir.Graph) -> dict[str, float]:
    """Replaces the tables in place; name of each candidate -> its error as a share of its deviation."""
    errors: dict[str, float] = {}
    for node in tuple(graph):
        table = constant(node.inputs[0]) if is_op(node, "Gather") else None
        if (
            table is None
            or table.dtype != np.float32
            or table.ndim != 2
            or integer(node, "axis", 0)
        ):
            continue
        if table.size >= LEAST_NUMBERS:
            name = str(node.inputs[0].name if node.inputs[0] is not None else node.name)
            errors[name] = _quantise(graph, node, table.astype(np.float64), name)
    return errors


def accepted(error: float) -> bool:
    """Whether a table with this error was replaced."""
    return error <= LARGEST_ERROR


def _quantise(graph: ir.Graph, gather: ir.Node, table: NDArray[np.float64], name: str) -> float:
    scale = np.float32(max(float(np.abs(table).max()) / LIMIT, SMALLEST_SCALE))
    integers = np.clip(np.rint(table / scale), -LIMIT, LIMIT).astype(np.int8)
    error = float(
        np.sqrt(np.mean((integers * np.float64(scale) - table) ** 2)) / (table.std() or 1.0)
    )
    if not accepted(error):
        return error
    rows = ir.Node(
        "",
        "Gather",
        [add_constant(graph, f"{name}_int8", integers), gather.inputs[1]],
        gather.attributes.values(),
        name=gather.name,
    )
    constants = [
        add_constant(graph, f"{name}_scale", np.asarray(scale, np.float32)),
        add_constant(graph, f"{name}_zero_point", np.asarray(0, np.int8)),
    ]
    real = ir.Node(
        "", "DequantizeLinear", [rows.outputs[0], *constants], name=f"{gather.name}_dequantised"
    )
    old = gather.outputs[0]
    for node, kind in ((rows, ir.DataType.INT8), (real, ir.DataType.FLOAT)):
        node.outputs[0].name = f"{old.name}_{kind.name.lower()}"
        node.outputs[0].type, node.outputs[0].shape = ir.TensorType(kind), old.shape
    graph.insert_before(gather, (rows, real))
    replace(old, real.outputs[0])
    graph.remove(gather, safe=True)
    return error
