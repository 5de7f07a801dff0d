"""Which nodes of a quantised file read float numbers that are stored in it, and how many bytes those take."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import TensorProto, numpy_helper

from squeeze.account.stored import tensor_bytes
from squeeze.account.weigh import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
# What these read are scales, or numbers for whoever reads what they give.
_QUANTISERS = {"DequantizeLinear", "QuantizeLinear"}


@dataclass(frozen=True)
class FloatPart:
    """A node, and the bytes of the float numbers that it reads."""

    node: str
    op_type: str
    bytes: int


def float_parts(path: Path, original: Path) -> list[FloatPart]:
    """Of each node in any graph of the file, most bytes first. What several nodes read counts for the first of them.

    original: what the file was made from; a node that reads the same numbers as one of those is called by its name, for
    finished files have no names inside. Raises MeasureError for what is no ONNX file.
    """
    names: dict[str, str] = {}
    for node, places in _readers(read(original).graph, {}):
        for name in node.input:
            if name in places:
                names.setdefault(places[name].digest, _name(node))
    found: list[FloatPart] = []
    counted: set[_Place] = set()
    for node, places in _readers(read(path).graph, {}):
        if node.op_type in _QUANTISERS:
            continue
        mine = {places[name] for name in node.input if name in places} - counted
        counted |= mine
        if size := sum(place.bytes for place in mine):
            most = max(mine, key=lambda place: place.bytes)
            found.append(FloatPart(names.get(most.digest, _name(node)), node.op_type, size))
    return sorted(found, key=lambda part: -part.bytes)


@dataclass(frozen=True)
class _Place:
    """A tensor: bodies may call theirs alike, so that a name alone is none."""

    body: str
    name: str
    bytes: int
    digest: str

    @classmethod
    def of(cls, tensor: TensorProto, body: str) -> _Place:
        contents = numpy_helper.to_array(tensor).tobytes()
        digest = hashlib.sha256(contents).hexdigest()
        return cls(body, tensor.name, tensor_bytes(tensor), digest)


def _readers(
    graph: onnx.GraphProto, around: dict[str, _Place], body: str = ""
) -> Iterator[tuple[onnx.NodeProto, dict[str, _Place]]]:
    """The nodes of a graph and of the bodies in it, each with the float tensors that it sees, by name."""
    seen = {**around, **{t.name: _Place.of(t, body) for t in _floats(graph)}}
    for at, node in enumerate(graph.node):
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _readers(attribute.g, seen, f"{body}/{at}.{attribute.name}")
        yield node, seen


def _name(node: onnx.NodeProto) -> str:
    return node.name or next(filter(None, node.output), node.op_type)


def _floats(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """The stored float tensors of a graph, constants among them."""
    yield from (tensor for tensor in graph.initializer if tensor.data_type in _FLOATS)
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value" and attribute.t.data_type in _FLOATS:
                tensor = TensorProto()
                tensor.CopyFrom(attribute.t)
                tensor.name = node.output[0]
                yield tensor
