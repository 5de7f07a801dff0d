"""For how many tokens the tables of positions have room whose rows a graph adds to those of tokens.

    ids -> Gather(words) -> Add <- Gather(positions) <- 0, 1, ... that a mask or a length gives, or that are stored

Cases: places from Range, from CumSum, or stored, cut and moved in any way; a number that is added to all of them, which
       leaves that much less room; EmbedLayerNormalization of the runtime.
Left:  places that are an input, tables that are cut instead of looked up in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx.numpy_helper import to_array

from squeeze.teacher.onnx.id_tables import input_at
from squeeze.teacher.onnx.signature import inputs_of

if TYPE_CHECKING:
    import onnx

_MOVING = {
    "Cast",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
}
_DEEPEST = 24


class _Graph:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.makers = {name: node for node in graph.node for name in node.output}
        self.stored = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.stored[node.output[0]] = node.attribute[0].t

    def rows(self, name: str) -> int | None:
        """Of a stored table."""
        tensor = self.stored.get(name)
        return None if tensor is None or len(tensor.dims) != 2 else int(tensor.dims[0])

    def number(self, name: str) -> int | None:
        """A stored one that stands for itself everywhere."""
        tensor = self.stored.get(name)
        if tensor is None or any(size != 1 for size in tensor.dims):
            return None
        return int(to_array(tensor).item())

    def first_place(self, name: str, depth: int = _DEEPEST) -> int | None:
        """The number of the first token, where `name` counts them; else None."""
        tensor, node = self.stored.get(name), self.makers.get(name)
        if tensor is not None:
            numbers = to_array(tensor).ravel()
            counts = numbers.size > 1 and np.array_equal(numbers, np.arange(numbers.size))
            return 0 if counts else None
        if node is None or depth == 0:
            return None
        if node.op_type == "Range":
            return self.number(input_at(node, 0))
        if node.op_type == "CumSum":
            return 1
        if node.op_type in _MOVING:
            return self.first_place(input_at(node, 0), depth - 1)
        if node.op_type not in ("Add", "Mul", "Sub", "Where"):
            return None
        sides = [name for name in node.input[-2:] if name]
        places = [self.first_place(name, depth - 1) for name in sides]
        known = [place for place in places if place is not None]
        if len(known) != 1 or node.op_type in ("Mul", "Where"):
            return known[0] if len(known) == 1 else None
        shift = self.number(sides[places.index(None)]) if len(sides) > 1 else None
        if shift is None:
            return None
        return known[0] + (shift if node.op_type == "Add" else -shift)


def position_tables(model: onnx.GraphProto) -> dict[str, int]:
    """Input -> the tokens that the smallest table of positions beside its own has room for."""
    graph = _Graph(model)
    origin = {value.name: value.name for value in inputs_of(model)}
    embedded: dict[str, str] = {}  # value -> the input whose rows it is made of
    room: dict[str, int] = {}  # value -> of the table whose rows it is
    found: dict[str, int] = {}
    for node in graph.nodes:
        first, second, out = input_at(node, 0), input_at(node, 1), "".join(node.output[:1])
        if node.op_type == "EmbedLayerNormalization" and first in origin:
            rows = graph.rows(input_at(node, 3))
            if rows is not None and not input_at(node, 8):
                found[origin[first]] = rows
        elif node.op_type == "Gather" and graph.rows(first) is not None:
            rows, place = graph.rows(first), graph.first_place(second)
            if second in origin:
                embedded[out] = origin[second]
            elif rows is not None and place is not None and place >= 0:
                room[out] = rows - place
        elif node.op_type == "Add":
            for a, b in ((first, second), (second, first)):
                if a in embedded:
                    name = embedded[out] = embedded[a]
                    if b in room:
                        found[name] = min(found.get(name, room[b]), room[b])
        elif node.op_type in _MOVING and first in origin:
            origin[out] = origin[first]
        elif node.op_type in _MOVING and first in room:
            room[out] = room[first]
    return found
