"""How a tensor got its heads: the way back from [b, heads, length, size] to the Reshape that cut [b, length, ...].

Transposes may stand on it; one part of several may have been taken, by Gather, or by Split or Slice and Squeeze; and
keys may have been turned among three axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from squeeze.graph.qdq import Refused
from squeeze.graph.values import constant, integer, integers, is_op, producer


@dataclass
class Way:
    """From a tensor of four axes back to the Reshape that made its axes: `order` says which of that each of them is.

    picked: the axis of that of which one `part` was taken.
    """

    order: list[int]
    picked: int | None = None
    part: int = 0
    reshape: ir.Node | None = None


def way_back(value: ir.Value) -> Way:
    """From a tensor of four axes as far as numbers only move."""
    way = Way([0, 1, 2, 3])
    here: ir.Value | None = value
    while here is not None and (node := here.producer()) is not None:
        source = node.inputs[0] if node.inputs else None
        if is_op(node, "Transpose") and (perm := integers(node, "perm")) is not None:
            way.order = [perm[axis] for axis in way.order]
            way.picked = None if way.picked is None else perm[way.picked]
        elif (taken := _one_part(node, here)) is not None and way.picked is None:
            source, axis, way.part = taken
            way.order = [other + (other >= axis) for other in way.order]
            way.picked = axis
        elif (turned := _turned(node)) is not None and way.picked is None:
            source = turned
            way.order = [(0, 1, 3, 2)[axis] for axis in way.order]
        else:
            way.reshape = node if is_op(node, "Reshape") else None
            break
        here = source
    return way


def _one_part(node: ir.Node, value: ir.Value) -> tuple[ir.Value, int, int] | None:
    """(tensor, axis, index) where `node` makes one part of a tensor along an axis, without that axis."""
    if is_op(node, "Gather"):
        index = constant(node.inputs[1])
        if node.inputs[0] is None or index is None or index.ndim or index.item() < 0:
            return None
        return node.inputs[0], integer(node, "axis", 0), int(index.item())
    axes = constant(node.inputs[1]) if is_op(node, "Squeeze") and len(node.inputs) > 1 else None
    if axes is None or axes.size != 1 or axes.item() < 0:
        return None
    axis, inner = int(axes.item()), node.inputs[0]
    made = None if inner is None else inner.producer()
    if made is None or made.inputs[0] is None:
        return None
    if is_op(made, "Split") and integer(made, "axis", 0) == axis:
        sizes = [v.shape[axis] if v.shape is not None else None for v in made.outputs]
        return (made.inputs[0], axis, made.outputs.index(inner)) if set(sizes) == {1} else None
    if is_op(made, "Slice") and len(made.inputs) > 3:
        begin, end, along = (constant(v) for v in made.inputs[1:4])
        if begin is None or end is None or along is None or begin.size != 1:
            return None
        if along.item() == axis and begin.item() >= 0 and end.item() == begin.item() + 1:
            return made.inputs[0], axis, int(begin.item())
    return None


def _turned(node: ir.Node) -> ir.Value | None:
    """The tensor whose last two axes are exchanged by Reshape, Transpose of three axes, Reshape."""
    transpose = producer(node.inputs[0], "Transpose") if is_op(node, "Reshape") else None
    joined = None if transpose is None else producer(transpose.inputs[0], "Reshape")
    source = None if joined is None else joined.inputs[0]
    if source is None or transpose is None or integers(transpose, "perm") != [0, 2, 1]:
        return None
    whole, flat, turned = source.shape, transpose.outputs[0].shape, node.outputs[0].shape
    if whole is None or flat is None or turned is None or (len(whole), len(turned)) != (4, 4):
        return None
    # The first axis is what is left.
    same = whole[1:] == (turned[1], turned[3], turned[2]) and flat[1:] == turned[2:]
    known = all(isinstance(size, int) or size.value is not None for size in whole[1:])
    return source if same and known else None


def heads_of(whole: ir.Shape | None, parts: ir.Shape | None) -> tuple[int, int]:
    """In how many heads, of which size, [b, length, heads * size] is cut, or [b, length, k * heads * size]. Raises
    Refused.

    Exporters leave the number of heads to Reshape: it follows from the width and the size of a head.
    """
    if whole is None or parts is None or len(whole) != 3 or len(parts) not in (4, 5):
        raise Refused("the sizes of its heads are not known")
    heads, size = parts[-2:]
    if len(parts) == 4 and isinstance(whole[2], int) and isinstance(size, int) and size > 0:
        heads = heads if isinstance(heads, int) else whole[2] // size
    if not isinstance(heads, int) or not isinstance(size, int):
        raise Refused("the sizes of its heads are not known")
    width = heads * size
    if len(parts) == 5:
        width *= parts[2] if isinstance(parts[2], int) else 0
    if whole[2] != width or not all(
        may_be(a, b) for a, b in zip(parts[:2], whole[:2], strict=True)
    ):
        raise Refused("an operand is cut otherwise than into heads")
    return heads, size


def may_be(size: int | ir.SymbolicDim | None, wanted: int | ir.SymbolicDim | None) -> bool:
    """Whether two sizes may be the same: what is a name is not known."""
    return size == wanted or not (isinstance(size, int) and isinstance(wanted, int))
