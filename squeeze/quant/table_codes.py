"""Rows of an embedding table in 4, 3 or 2 bits: levels that the whole table shares, a scale for each row.

    Gather(table, ids)  ->  Gather(levels, indices of Gather(packed, ids)) * Gather(scales, ids)

Operators of ONNX alone, on the few rows that are looked up. Half of a small sentence encoder's bytes are its table, and
it minds few bits less than layers do: nothing is multiplied by a row but a normalisation's gain.

Levels: Lloyd's algorithm ("Least squares quantization in PCM", 1982) on the numbers of all rows, each divided by the
root mean square of its row; then the scale of each row is the one of least squared error, twice over.
Packed: planes of 2 or 4 bits (3 bits: a plane of 2 and one of 1). A byte of a plane holds column j in its lowest bits,
then those of j + width / parts, j + 2 width / parts, ...: what is taken out of all bytes at once lies side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant

# Bits of an index -> bits of its planes, the lowest first.
PLANES = {4: (4,), 3: (2, 1), 2: (2,)}
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

    def planes(self) -> list[NDArray[np.uint8]]:
        """What is stored: [rows, width * plane's bits / 8] each."""
        found: list[NDArray[np.uint8]] = []
        rest = self.indices
        for bits in PLANES[self.bits]:
            parts = 8 // bits
            columns = (rest & ((1 << bits) - 1)).reshape(len(rest), parts, -1)
            shifts = bits * np.arange(parts, dtype=np.uint8)[:, None]
            found.append(np.bitwise_or.reduce(columns << shifts, axis=1).astype(np.uint8))
            rest = (rest >> bits).astype(np.uint8)
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

    planes = [held(f"plane_{i}", plane) for i, plane in enumerate(codes.planes())]
    levels = held("levels", codes.levels)
    scales = held("scales", codes.scales[:, None])
    numbers = {
        bits: (
            held(f"share_{bits}", np.float32(0.5**bits)),
            held(f"step_{bits}", np.float32(2**bits)),
        )
        for bits in PLANES[codes.bits]
    }

    def nodes(ids: ir.Value) -> list[ir.Node]:
        made: list[ir.Node] = []

        def add(
            op_type: str, *inputs: ir.Value, dtype: ir.DataType = ir.DataType.FLOAT, **given: int
        ) -> ir.Value:
            attributes = [ir.AttrInt64(key, value) for key, value in given.items()]
            node = ir.Node("", op_type, list(inputs), attributes)
            node.outputs[0].type = ir.TensorType(dtype)
            made.append(node)
            return node.outputs[0]

        index: ir.Value | None = None
        low = 0
        for plane, bits in zip(planes, PLANES[codes.bits], strict=True):
            found = add("Gather", plane, ids, dtype=ir.DataType.UINT8, axis=0)
            rest = add("Cast", found, to=ir.DataType.FLOAT)
            share, step = numbers[bits]
            columns = []
            for _ in range(8 // bits - 1):
                above = add("Floor", add("Mul", rest, share))
                columns.append(add("Sub", rest, add("Mul", above, step)))
                rest = above
            part = add("Concat", *columns, rest, axis=-1)
            # The planes before this one hold the lower bits.
            index = part if index is None else add("Add", index, add("Mul", part, numbers[low][1]))
            low = bits
        assert index is not None
        whole = add("Cast", index, dtype=ir.DataType.INT32, to=ir.DataType.INT32)
        real = add("Gather", levels, whole, axis=0)
        add("Mul", real, add("Gather", scales, ids, axis=0))
        return made

    return nodes
