"""Reads sizes of the earliest tensor that has them, so that what is in between is read for its numbers alone.

    x -> MatMul -> Transpose -> Shape -> Gather 2      x -> MatMul -> Transpose
                                                  ->   x -> Shape -> Gather 1

Exporters ask every tensor for its sizes on the way; a value that a Shape reads is one that nobody fuses.

Cases: one size taken of a Shape by Gather, or by start and end of the Shape itself; one that is known becomes a
       constant, another goes back over elementwise functions, normalisations, quantisers, Softmax, Transpose,
       Unsqueeze, MatMul, look-ups in a table, and Reshape to sizes of which each is computed by itself or kept. Of
       several tensors the one counts that is not stretched: the others have 1 there, or no axis, or what they have is
       not known and it has a size of the graph's inputs.
Left:  several sizes at once; tensors of which either may be stretched.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.functions import ELEMENTWISE
from squeeze.graph.values import (
    add_constant,
    axes_of,
    constant,
    graph_of,
    integer,
    integers,
    is_op,
    producer,
    rank,
    replace,
)

_SAME_SIZES = ("LayerNormalization", "LpNormalization", "RMSNormalization", "Softmax", "LogSoftmax")
_Place = tuple[ir.Value, int]  # a tensor and an axis


def read_sizes_early(model: ir.Model) -> bool:
    """True when a size is read of another tensor than before, or known."""
    sources = _Sources(model.graph)
    changed = [_move(node, sources) for node in tuple(model.graph)]
    return any(changed)


def _move(node: ir.Node, sources: _Sources) -> bool:
    taken = _taken(node)
    if taken is None or node.outputs[0].is_graph_output():
        return False
    value, axis = sources.first(taken)
    size = _size((value, axis))
    graph, old = graph_of(node), node.outputs[0]
    alone = is_op(node, "Gather") and rank(node.inputs[1]) == 0
    if isinstance(size, int):
        known = np.asarray(size if alone else [size], np.int64)
        replace(old, add_constant(graph, f"{old.name}_known", known))
        graph.remove(node, safe=True)
        return True
    if value is taken[0]:
        return False
    at = add_constant(graph, f"{old.name}_axis", np.asarray(axis if alone else [axis], np.int64))
    shape = ir.Node("", "Shape", [value], name=f"{old.name}_shape")
    sizes = shape.outputs[0]
    gather = ir.Node("", "Gather", [sizes, at], [ir.AttrInt64("axis", 0)], name=f"{old.name}_early")
    early = gather.outputs[0]
    sizes.name, sizes.type, sizes.shape = f"{old.name}_sizes", old.type, ir.Shape([rank(value)])
    early.name, early.type, early.shape = f"{old.name}_early", old.type, old.shape
    graph.insert_before(node, [shape, gather])
    replace(old, early)
    graph.remove(node, safe=True)
    return True


class _Sources:
    """Where sizes come from. What was found out holds while no tensor is made otherwise than before."""

    def __init__(self, graph: ir.Graph) -> None:
        self._known: dict[_Place, _Place] = {}
        self._given = frozenset(
            size.value
            for value in graph.inputs
            for size in value.shape or ()
            if isinstance(size, ir.SymbolicDim) and size.value is not None
        )

    def first(self, place: _Place) -> _Place:
        """The earliest tensor and axis of the size of `place`."""
        way = [place]
        while (known := self._known.get(way[-1])) is None:
            before = self._before(*way[-1])
            if before is None:
                known = way[-1]
                break
            way.append(before)
        self._known.update(dict.fromkeys(way, known))
        return known

    def _before(self, value: ir.Value, axis: int) -> _Place | None:
        """Where the node that made `value` has this size from."""
        node, dims = value.producer(), rank(value)
        source = node.inputs[0] if node is not None and node.inputs else None
        if node is None or source is None or dims is None or value is not node.outputs[0]:
            return None
        if is_op(node, "Transpose"):
            perm = integers(node, "perm")
            return (source, perm[axis]) if perm is not None else (source, dims - 1 - axis)
        if is_op(node, "Unsqueeze"):
            return _of_unsqueeze(node, source, axis, dims)
        if is_op(node, "Gather"):
            ids, table = node.inputs[1], constant(source)
            looks_up = table is not None and integer(node, "axis", 0) == 0
            return _axis(ids, axis) if looks_up and axis < (rank(ids) or 0) else None
        if is_op(node, "Reshape"):
            return _of_reshape(node, source, axis, dims)
        if is_op(node, *_SAME_SIZES):
            return source, axis
        if is_op(node, "MatMul") and axis >= dims - 2:
            side = node.inputs[0 if axis == dims - 2 else 1]
            return (
                _axis(side, axis - dims) if all((rank(v) or 0) > 1 for v in node.inputs) else None
            )
        return self._unstretched(node, axis - dims) if is_op(node, "MatMul", *ELEMENTWISE) else None

    def _unstretched(self, node: ir.Node, from_end: int) -> _Place | None:
        """The one input of `node` that has its size along an axis, which is counted from the end."""
        if any(v is not None and v.shape is None for v in node.inputs):
            return None
        places = [found for v in node.inputs if (found := _axis(v, from_end)) is not None]
        wide = [place for place in places if _size(place) != 1]
        if len(wide) > 1:
            wide = [place for place in wide if self._is_given(self.first(place))][:1]
        return wide[0] if wide else None

    def _is_given(self, place: _Place) -> bool:
        size = _size(place)
        return isinstance(size, ir.SymbolicDim) and size.value in self._given


def _size(place: _Place) -> int | ir.SymbolicDim | None:
    value, axis = place
    return None if value.shape is None else value.shape[axis]


def _taken(node: ir.Node) -> _Place | None:
    """The tensor and the axis whose size `node` gives, and nothing else."""
    if is_op(node, "Gather"):
        shape, index = producer(node.inputs[0], "Shape"), constant(node.inputs[1])
        if shape is None or index is None or index.size != 1 or index.ndim > 1:
            return None
        if integer(shape, "start", 0) or "end" in shape.attributes:
            return None
        return _axis(shape.inputs[0], int(index.item()))
    if not is_op(node, "Shape") or "end" not in node.attributes:
        return None
    start, end = integer(node, "start", 0), integer(node, "end", 0)
    return _axis(node.inputs[0], start) if end == start + 1 else None


def _axis(value: ir.Value | None, axis: int) -> _Place | None:
    dims = rank(value)
    if value is None or dims is None or not -dims <= axis < dims:
        return None
    return value, axis % dims


def _of_unsqueeze(node: ir.Node, source: ir.Value, axis: int, dims: int) -> _Place | None:
    axes = axes_of(node)
    if axes is None:
        return None
    new = {a % dims for a in axes}
    return None if axis in new else (source, axis - sum(a < axis for a in new))


def _of_reshape(node: ir.Node, source: ir.Value, axis: int, dims: int) -> _Place | None:
    target = node.inputs[1]
    wanted = constant(target)
    if wanted is not None:
        kept = wanted.reshape(-1)[axis] == 0 and not integer(node, "allowzero", 0)
        return (source, axis) if kept and axis < (rank(source) or 0) else None
    concat = producer(target, "Concat")
    if concat is None or len(concat.inputs) != dims:
        return None
    size = concat.inputs[axis]
    while (moved := producer(size, "Unsqueeze", "Reshape", "Squeeze", "Identity")) is not None:
        size = moved.inputs[0]
    made = None if size is None else size.producer()
    return None if made is None else _taken(made)
