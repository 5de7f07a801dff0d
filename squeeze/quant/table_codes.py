"""Rows of an embedding table in 4, 3 or 2 bits: levels that the whole table shares, a scale for each row.

    Gather(table, ids)  ->  (levels of what Gather(codes, ids) holds) * Gather(scales, ids)

The operators are those of the body of CodebookGather (`squeeze.ops.codebookgather`), which lowering makes a node of: on
the few rows that are looked up. Half of a small sentence encoder's bytes are its table, and it minds few bits less than
layers do: nothing is multiplied by a row but a normalisation's gain.

Levels: Lloyd's algorithm ("Least squares quantization in PCM", 1982) on the numbers of all rows, each divided by the
root mean square of its row; then the scale of each row is the one of least squared error, twice over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, is_op
from squeeze.ops.body import Body
from squeeze.ops.codebookgather import gathered, packed
from squeeze.ops.signatures import GATHERS, PLANES, SIGNATURES

# Numbers that the levels are found with; they are as many as the table has in all but the smallest.
SEEN, ROUNDS, REFINEMENTS = 1 << 18, 200, 2

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class TableCodes:
    """`indices` [rows, width] into `levels` [2^bits], `scales` [rows]: the table is levels[indices] * scales."""

    bits: int
    indices: NDArray[np.uint8]
    levels: NDArray[np.float32]
    scales: NDArray[np.float32]

    def table(self) -> Wide:
        """The numbers that a file with these codes computes, [rows, width]."""
        found: Wide = self.levels.astype(np.float64)[self.indices] * self.scales[:, None]
        return found


def fits(table: NDArray[np.generic], bits: int) -> bool:
    """Whether rows of `table` can be packed in whole bytes."""
    return table.ndim == 2 and table.shape[1] % (8 // min(PLANES[bits])) == 0


def encode(table: Wide, bits: int) -> TableCodes:
    """The codes of a table [rows, width]; a row of zeros stays one."""
    scales = np.sqrt(np.mean(table**2, axis=1))
    every = max(1, table.size // SEEN)
    levels = _lloyd(_divided(table[::every], scales[::every]), 1 << bits)
    for _ in range(REFINEMENTS):
        rows = levels[_nearest(_divided(table, scales), levels)]
        squares = (rows**2).sum(axis=1)
        projected = (rows * table).sum(axis=1) / np.where(squares > 0, squares, 1.0)
        scales = np.where((scales > 0) & (projected > 0), projected, scales)
    indices = _nearest(_divided(table, scales), levels).astype(np.uint8)
    return TableCodes(bits, indices, levels.astype(np.float32), scales.astype(np.float32))


def _divided(table: Wide, scales: Wide) -> Wide:
    found: Wide = table / np.where(scales > 0, scales, 1.0)[:, None]
    return found


def _lloyd(numbers: Wide, count: int) -> Wide:
    """`count` levels of least squared error for `numbers`, ascending; it begins with their quantiles."""
    ordered = np.sort(numbers, axis=None)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    levels = np.quantile(ordered, (np.arange(count) + 0.5) / count)
    for _ in range(ROUNDS):
        cuts = np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
        edges = np.concatenate([[0], cuts, [len(ordered)]])
        held = np.diff(edges)
        levels = np.where(held > 0, np.diff(sums[edges]) / np.maximum(held, 1), levels)
    found: Wide = levels
    return found


def _nearest(numbers: Wide, levels: Wide) -> NDArray[np.intp]:
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, numbers)


def looked_up(
    graph: ir.Graph, codes: TableCodes, name: str, unique: Callable[[str], str]
) -> Callable[[ir.Value], list[ir.Node]]:
    """Puts `codes` into `graph` as constants; gives the nodes that look ids up in them, the last of which is the rows.

    unique: a name that is not taken, from one that is wanted
    """

    def held(suffix: str, array: NDArray[np.generic]) -> ir.Value:
        return add_constant(graph, unique(f"{name}_{suffix}"), array)

    names = SIGNATURES[GATHERS[codes.bits]].names
    arrays: list[NDArray[np.generic]] = [*packed(codes.indices, codes.bits)]
    arrays += [codes.levels, codes.scales[:, None]]
    constants = {name: held(name, array) for name, array in zip(names[1:], arrays, strict=True)}
    further: dict[str, ir.Value] = {}  # what each constant of the body is in the graph

    def nodes(ids: ir.Value) -> list[ir.Node]:
        body = Body(names)
        body.inputs = {names[0]: ids, **constants}
        gathered(body, codes.bits, graph.opset_imports[""])
        made: list[ir.Node] = []
        for node in body.nodes:
            result = node.outputs[0]
            if is_op(node, "Constant"):
                key = str(result.name)
                if key not in further:
                    further[key] = held(key, node.attributes["value"].as_tensor().numpy())
                result.replace_all_uses_with(further[key])
            else:
                result.type = ir.TensorType(_dtype(node))
                made.append(node)
        return made

    return nodes


def _dtype(node: ir.Node) -> ir.DataType:
    """What a node of the body gives."""
    if is_op(node, "Cast"):
        return ir.DataType(node.attributes["to"].as_int())
    if is_op(node, "Shape"):
        return ir.DataType.INT64
    given = node.inputs[0]
    assert given is not None
    assert given.dtype is not None
    return given.dtype
