"""A bias of relative positions that all layers add to their scores, as MPNet has it (Raffel et al., T5, 2020): a table
with a row for each kind of distance and a column for each head.

Taken: rows looked up by distances whose kinds widen by a logarithm; the same, with the indices or all of it computed
       already because the length of texts is fixed; rows looked up in a list that has the kind of each distance, which
       is how our own students are written.
Left:  tables of one direction, kinds of other widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.encoder.lookups import MOVES, sources
from squeeze.graph.encoder.parts import real_array
from squeeze.graph.qdq import Refused
from squeeze.graph.values import Array, contents, is_op, producer

# What MPNet and T5 have; it shows in a graph unless lengths are fixed.
_ROWS, _REACH = 32, 128
_OTHERWISE = "its scores are added something that is no table of distances with a logarithm"


@dataclass(frozen=True)
class Relative:
    """table: [2 * (len(distances) + 1), heads], rows of tokens that stand before, then of those behind; distances: from
    which on each further row counts."""

    table: NDArray[np.float32]
    distances: tuple[int, ...]


def is_bias(value: ir.Value) -> bool:
    """Whether it comes from constants alone: a mask follows from inputs."""
    table, _ = _looked_up(value)
    return table is not None


def read_bias(value: ir.Value, heads: int) -> Relative:
    """The table behind what is added to scores [n, heads, s, s]. Raises Refused."""
    table, index = _looked_up(value)
    if table is None:
        raise Refused(_OTHERWISE)
    if index is None:
        found = _recovered(table, heads)
    else:
        listed = _listed(index)
        if listed is None:
            listed = _distances(len(table), _reach(index, len(table)))
        found = Relative(real_array(table), listed)
        known = contents(index)
        if known is not None and not _agrees(known, found.distances):
            raise Refused(_OTHERWISE)
    if found.table.shape != (2 * (len(found.distances) + 1), heads):
        raise Refused(_OTHERWISE)
    return found


def _looked_up(value: ir.Value | None) -> tuple[Array | None, ir.Value | None]:
    """(table, indices); (the bias itself, None) where it is a constant of a number for each pair of tokens."""
    while value is not None:
        whole = contents(value)
        if whole is not None:
            pairs = whole.ndim >= 3 and whole.shape[-3] > 1 and whole.shape[-1] == whole.shape[-2]
            return (whole, None) if pairs else (None, None)
        node = value.producer()
        if node is not None and is_op(node, "Gather"):
            table = contents(node.inputs[0])
            flat = table is None or table.ndim != 2
            return (None, None) if flat else (table, node.inputs[1])
        moved = node is not None and is_op(node, *MOVES, "Transpose")
        value = node.inputs[0] if node is not None and moved else None
    return None, None


def _listed(index: ir.Value) -> tuple[int, ...] | None:
    """The distances of which the kinds stand in a list, from the farthest before to the farthest behind."""
    here: ir.Value | None = index
    while (node := producer(here, *MOVES)) is not None:
        here = node.inputs[0]
    gather = producer(here, "Gather")
    rows = None if gather is None else contents(gather.inputs[0])
    if rows is None or rows.ndim != 1 or not rows.size % 2:
        return None
    kinds = rows[: rows.size // 2 + 1][::-1]
    return tuple(int(n) for n in np.flatnonzero(np.diff(kinds)) + 1)


def _reach(index: ir.Value, rows: int) -> int:
    """The distance from which on all are of one kind."""
    for value in sources(index):
        div = producer(value, "Div")
        if div is None or producer(div.inputs[0], "Log") is None:
            continue
        span = contents(div.inputs[1])
        if span is not None and span.size == 1:
            return round(rows // 4 * float(np.exp(span.item())))
    return _REACH


def _distances(rows: int, reach: int) -> tuple[int, ...]:
    """Half of the kinds of one direction are single distances, the others widen up to `reach`."""
    side, exact = rows // 2, rows // 4
    if rows % 4 or exact < 1 or reach <= exact:
        raise Refused(_OTHERWISE)
    n = np.arange(exact, reach + 1)
    # In the order and the precision in which networks were trained with it.
    share = np.log(n.astype(np.float32) / np.float32(exact)) / np.float32(np.log(reach / exact))
    kinds = np.minimum(exact + (share * np.float32(side - exact)).astype(np.int64), side - 1)
    found = [*range(1, exact), *(int(n[kinds >= k][0]) for k in range(exact, side))]
    return tuple(found)


def _rows(length: int, distances: tuple[int, ...]) -> NDArray[np.int64]:
    """Of each pair of tokens its row, [length, length]."""
    place = np.arange(length)
    away = place[None, :] - place[:, None]
    found: NDArray[np.int64] = np.searchsorted(np.array(distances), np.abs(away), side="right")
    return found + (away > 0) * (len(distances) + 1)


def _agrees(index: Array, distances: tuple[int, ...]) -> bool:
    found = index.reshape(index.shape[-2:]) if index.ndim >= 2 else index
    return found.ndim == 2 and np.array_equal(found, _rows(len(found), distances))


def _recovered(bias: Array, heads: int) -> Relative:
    """The table of a bias that is a constant; rows of distances that it does not have are 0."""
    length = bias.shape[-1]
    distances = _distances(_ROWS, _REACH)
    if bias.size != heads * length * length:
        raise Refused(_OTHERWISE)
    whole, rows = real_array(bias).reshape(heads, length, length), _rows(length, distances)
    table = np.zeros((_ROWS, heads), np.float32)
    table[rows.reshape(-1)] = whole.reshape(heads, -1).T
    if not np.array_equal(table[rows].transpose(2, 0, 1), whole):
        raise Refused(_OTHERWISE)
    return Relative(table, distances)
