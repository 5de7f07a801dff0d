"""Embedding tables in int8, a scale for each row: a quarter of the bytes, for a few operators on the rows looked up.

    Gather(table, ids)  ->  Cast(Gather(integers, ids)) * Gather(scales, ids)

A row is one token's, and its largest number is that of few others: one scale for all rows costs three times the error
and more. DequantizeLinear takes a scale per row of what was looked up only since opset 21, in blocks, and is three
times as slow there as Cast and Mul (MiniLM's table, 128 rows of 384: 67 us, 262 us in blocks, 54 us in float).

Cases: Gather along the first axis of a constant float table of 16,384 numbers or more, in any graph of the model.
Left:  smaller tables; tables that anything else reads too, which would be in the file twice; vectors.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import (
    add_constant,
    constant,
    fresh,
    graph_of,
    integer,
    is_op,
    names,
    replace,
)
from squeeze.quant.ranges.grid import Grid, quantise_weights, weight_scales

LEAST_NUMBERS = 1 << 14
GRID = Grid(np.dtype(np.int8))


def quantise_tables(graph: ir.Graph, float_outputs: Collection[str] = ()) -> dict[str, float]:
    """Replaces the tables in place; name of each -> its error as a share of its deviation.

    float_outputs: first outputs of lookups whose tables stay.
    """
    errors: dict[str, float] = {}
    taken = names(graph)
    found: dict[ir.Value, list[ir.Node]] = {}
    for one in (graph, *graph.subgraphs()):
        for node in one:
            table = node.inputs[0] if _is_lookup(node) else None
            if table is not None and node.outputs[0].name not in float_outputs:
                found.setdefault(table, []).append(node)
    for table, lookups in found.items():
        array = constant(table)
        if (
            array is None
            or not np.isfinite(array).all()
            or any(user not in lookups for user, _ in table.uses())
        ):
            continue
        name = str(table.name)
        errors[name] = _quantise(graph, lookups, array.astype(np.float64), name, taken)
    return errors


def _is_lookup(node: ir.Node) -> bool:
    table = constant(node.inputs[0]) if is_op(node, "Gather") else None
    return (
        table is not None
        and table.dtype == np.float32
        and table.ndim > 1
        and table.size >= LEAST_NUMBERS
        and not integer(node, "axis", 0)
        and node.inputs[0] is not None
        and not node.inputs[0].is_graph_output()
    )


def _quantise(
    graph: ir.Graph,
    lookups: list[ir.Node],
    table: NDArray[np.float64],  # [rows, ...]
    name: str,
    taken: set[str],
) -> float:
    narrow = weight_scales(table, GRID)
    scales = narrow.reshape(-1, *[1] * (table.ndim - 1))
    integers = quantise_weights(table, narrow, GRID)
    error = np.sqrt(np.mean((integers * scales.astype(np.float64) - table) ** 2))

    def unique(wanted: str) -> str:
        made = fresh(wanted, taken)
        taken.add(made)
        return made

    rows = add_constant(graph, unique(f"{name}_int8"), integers)
    row_scales = add_constant(graph, unique(f"{name}_scales"), scales)
    for gather in lookups:
        old, ids = gather.outputs[0], gather.inputs[1]
        axis = gather.attributes.values()
        found = ir.Node("", "Gather", [rows, ids], axis, name=gather.name)
        real = ir.Node("", "Cast", [found.outputs[0]], [ir.AttrInt64("to", ir.DataType.FLOAT)])
        scale = ir.Node("", "Gather", [row_scales, ids], axis)
        product = ir.Node("", "Mul", [real.outputs[0], scale.outputs[0]])
        made = (found, real, scale, product)
        for node, suffix in zip(made, ("int8", "real", "scale", "scaled"), strict=True):
            node.outputs[0].name = unique(f"{old.name}_{suffix}")
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            node.name = node.name or node.outputs[0].name
        found.outputs[0].type = ir.TensorType(ir.DataType.INT8)
        for node in (found, real, product):
            node.outputs[0].shape = old.shape
        graph_of(gather).insert_before(gather, made)
        replace(old, product.outputs[0])
        graph_of(gather).remove(gather, safe=True)
    return float(error / (table.std() or 1.0))
