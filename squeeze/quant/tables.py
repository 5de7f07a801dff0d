"""Embedding tables in int8 or fewer bits, a scale for each row: a quarter of the bytes or less, for a few operators on
the rows looked up.

    Gather(table, ids)  ->  Cast(Gather(integers, ids)) * Gather(scales, ids)

A row is one token's, and its largest number is that of few others: one scale for all rows costs three times the error
and more. DequantizeLinear takes a scale per row of what was looked up only since opset 21, in blocks, and is three
times as slow there as Cast and Mul (MiniLM's table, 128 rows of 384: 67 us, 262 us in blocks, 54 us in float).
Fewer bits are in `table_codes`.

Cases: Gather along the first axis of a constant float table of 16,384 numbers or more, in any graph of the model.
Left:  smaller tables; tables that anything else reads too, which would be in the file twice; vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

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
from squeeze.quant.table_codes import encode, fits, looked_up
from squeeze.quant.weights.levels import FULL_BITS

LEAST_NUMBERS = 1 << 14
GRID = Grid(np.dtype(np.int8))


@dataclass(frozen=True)
class NarrowTable:
    """What became of one: bits of its numbers, and their error as a share of their deviation."""

    bits: int
    error: float


def quantise_tables(
    graph: ir.Graph, float_outputs: Collection[str] = (), bits: int = FULL_BITS
) -> dict[str, NarrowTable]:
    """Replaces the tables in place; by the name of each what became of it.

    float_outputs: first outputs of lookups whose tables stay. bits: 8, 4, 3 or 2; rows that do not fill whole bytes
    with fewer than 8 have 8.
    """
    taken = names(graph)
    return {
        name: _quantise(graph, lookups, array, name, _width(array, bits), taken)
        for name, lookups, array in _tables(graph, float_outputs)
    }


def round_tables(
    graph: ir.Graph, float_outputs: Collection[str] = (), bits: int = FULL_BITS
) -> None:
    """Gives tables the numbers that `quantise_tables` would store, as floats and in place: what a network is trained
    with whose file has them in few bits."""
    for name, lookups, array in _tables(graph, float_outputs):
        width = _width(array, bits)
        rounded = _int8_codes(array)[2] if width == FULL_BITS else encode(array, width).table()
        held = add_constant(graph, fresh(f"{name}_rounded", names(graph)), np.float32(rounded))
        for gather in lookups:
            gather.replace_input_with(0, held)


def _tables(
    graph: ir.Graph, float_outputs: Collection[str]
) -> list[tuple[str, list[ir.Node], NDArray[np.float64]]]:
    """Name, lookups and numbers of each table that nothing else reads."""
    found: dict[ir.Value, list[ir.Node]] = {}
    for one in (graph, *graph.subgraphs()):
        for node in one:
            table = node.inputs[0] if _is_lookup(node) else None
            if table is not None and node.outputs[0].name not in float_outputs:
                found.setdefault(table, []).append(node)
    tables = []
    for table, lookups in found.items():
        array = constant(table)
        alone = all(user in lookups for user, _ in table.uses())
        if array is not None and np.isfinite(array).all() and alone:
            tables.append((str(table.name), lookups, array.astype(np.float64)))
    return tables


def _width(table: NDArray[np.float64], bits: int) -> int:
    return bits if bits != FULL_BITS and fits(table, bits) else FULL_BITS


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
    bits: int,
    taken: set[str],
) -> NarrowTable:
    def unique(wanted: str) -> str:
        made = fresh(wanted, taken)
        taken.add(made)
        return made

    if bits == FULL_BITS:
        nodes, stored = _int8(graph, table, name, unique)
    else:
        codes = encode(table, bits)
        nodes, stored = looked_up(graph, codes, name, unique), codes.table()
    for gather in lookups:
        old, ids = gather.outputs[0], gather.inputs[1]
        assert ids is not None  # Gather has two inputs
        made = nodes(ids)
        made[0].name = gather.name
        for node in made:
            node.outputs[0].name = unique(f"{old.name}_{node.op_type.lower()}")
            node.name = node.name or node.outputs[0].name
        made[-1].outputs[0].shape = old.shape
        graph_of(gather).insert_before(gather, made)
        replace(old, made[-1].outputs[0])
        graph_of(gather).remove(gather, safe=True)
    error = np.sqrt(np.mean((stored - table) ** 2))
    return NarrowTable(bits, float(error / (table.std() or 1.0)))


def _int8(
    graph: ir.Graph, table: NDArray[np.float64], name: str, unique: Callable[[str], str]
) -> tuple[Callable[[ir.Value], list[ir.Node]], NDArray[np.float64]]:
    """The nodes that look ids up, and the numbers of the table as they give them."""
    integers, scales, stored = _int8_codes(table)
    rows = add_constant(graph, unique(f"{name}_int8"), integers)
    row_scales = add_constant(graph, unique(f"{name}_scales"), scales)

    def nodes(ids: ir.Value) -> list[ir.Node]:
        found = ir.Node("", "Gather", [rows, ids], [ir.AttrInt64("axis", 0)])
        real = ir.Node("", "Cast", [found.outputs[0]], [ir.AttrInt64("to", ir.DataType.FLOAT)])
        scale = ir.Node("", "Gather", [row_scales, ids], [ir.AttrInt64("axis", 0)])
        product = ir.Node("", "Mul", [real.outputs[0], scale.outputs[0]])
        for node in (real, scale, product):
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        found.outputs[0].type = ir.TensorType(ir.DataType.INT8)
        return [found, real, scale, product]

    return nodes, stored


def _int8_codes(
    table: NDArray[np.float64],
) -> tuple[NDArray[np.generic], NDArray[np.float32], NDArray[np.float64]]:
    """Integers [rows, ...], scales [rows, 1 ...], and the numbers that they are."""
    narrow = weight_scales(table, GRID)
    scales = narrow.reshape(-1, *[1] * (table.ndim - 1))
    integers = quantise_weights(table, narrow, GRID)
    return integers, scales, integers.astype(np.float64) * scales
