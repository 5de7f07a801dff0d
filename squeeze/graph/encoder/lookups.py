"""Rows of tables that are looked up before the first layer: of words, positions and segments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from squeeze.graph.qdq import Refused
from squeeze.graph.values import Array, contents, integer, is_op, producer

# What moves numbers, or puts axes of 1 around them.
MOVES = ("Cast", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Unsqueeze")


def summands(value: ir.Value | None) -> Iterator[ir.Value]:
    """What is added up to `value`."""
    add = producer(value, "Add")
    if add is not None:
        for side in add.inputs:
            yield from summands(side)
    elif value is not None:
        yield value


def looked_up(value: ir.Value | None) -> tuple[Array, ir.Value] | None:
    """(table, indices) where rows of a constant table are looked up, with axes of 1 around them."""
    node = None if value is None else value.producer()
    while node is not None and is_op(node, *MOVES) and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or not is_op(node, "Gather") or integer(node, "axis", 0) != 0:
        return None
    table, index = contents(node.inputs[0]), node.inputs[1]
    if table is None or table.ndim != 2 or index is None:
        return None
    return table, index


def table_of(value: ir.Value, width: int) -> Array | None:
    """A constant that is added, of which a part may have been taken."""
    here: ir.Value | None = value
    while here is not None:
        found = contents(here)
        if found is not None:
            return found if found.ndim and found.shape[-1] == width else None
        node = here.producer()
        here = node.inputs[0] if node is not None and is_op(node, *MOVES) else None
    return None


def kind_of(names: set[str], tables: dict[str, Array], *, counted: bool) -> str:
    """Which table rows are looked up in by indices that come from these inputs of the graph."""
    kind = "position"
    # Where a length is needed it is that of the first input: indices that are counted come from it, too.
    if names and not counted:
        kind = "segment" if "word" in tables or any("type" in name for name in names) else "word"
    if kind in tables:
        raise Refused(f"two tables of the kind '{kind}' are added first")
    return kind


def only_row(index: ir.Value | None) -> int | None:
    """The row that is looked up for every token, where it is one and the same."""
    node, known = _indices(index)
    if node is not None and is_op(node, "ConstantOfShape"):
        value = node.attributes.get("value")
        known = np.zeros(1, np.int64) if value is None else value.as_tensor().numpy()
    same = known is not None and known.size > 0 and (known == known.flat[0]).all()
    return int(known.flat[0]) if known is not None and same else None


def is_counted(index: ir.Value) -> bool:
    """Whether indices are 0, 1, 2, ..., whatever the tokens are."""
    node, known = _indices(index)
    if known is not None:
        return bool((known.reshape(-1) == np.arange(known.size)).all())
    return node is not None and is_op(node, "Range")


def sources(value: ir.Value | None) -> Iterator[ir.Value]:
    """`value` and everything that it is made of."""
    seen: set[ir.Value] = set()
    here = [value]
    while here:
        one = here.pop()
        if one is None or one in seen:
            continue
        seen.add(one)
        yield one
        node = one.producer()
        here += [] if node is None else list(node.inputs)


def _indices(index: ir.Value | None) -> tuple[ir.Node | None, Array | None]:
    """What makes indices, over what moves them: a node, or the numbers themselves."""
    while (known := contents(index)) is None:
        node = None if index is None else index.producer()
        if node is None or not is_op(node, *MOVES, "Gather", "GatherElements"):
            return node, None
        index = node.inputs[0]
    return None, known
