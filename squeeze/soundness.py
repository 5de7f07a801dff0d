"""Whether a model file that was parsed is sound enough to be worked on: what protobuf lets through and nobody can use.

Names are text, element types are known, every stored tensor has as many bytes as its shape says, every attribute is of
a type that exists. What operators make of it is left to the runtime.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx
from onnx import helper

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Numbers of less than a byte are packed, and the field of each other type has numbers or raw bytes.
_BITS = {
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.FLOAT4E2M1: 4,
    **{
        getattr(onnx.TensorProto, name): 2
        for name in ("INT2", "UINT2")
        if hasattr(onnx.TensorProto, name)
    },
}
_TYPES = set(onnx.TensorProto.DataType.values())
# What functions may come to, and how deep they may call each other.
_MOST_NODES = 200_000
_DEEPEST = 50
_ATTRIBUTES = set(onnx.AttributeProto.AttributeType.values()) - {onnx.AttributeProto.UNDEFINED}


def check_sound(model: onnx.ModelProto, where: object) -> None:
    """Raises ConfigError, which names the node, the value or the tensor. Tensors in other files are left alone."""
    texts = [("the domain of an opset", o.domain) for o in model.opset_import]
    texts += [("the producer", model.producer_name), ("the producer", model.producer_version)]
    for what, text in texts:
        _check_text(text, what, where)
    _check_graph(model.graph, where)
    for function in model.functions:
        for text in (function.name, function.domain, *function.input, *function.output):
            _check_text(text, "a name in a function", where)
        _check_nodes(function.node, where)
    _check_expansion(model, where)


def _check_expansion(model: onnx.ModelProto, where: object) -> None:
    """Refuses functions that call themselves, and calls that would multiply to a huge graph."""
    bodies = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[onnx.NodeProto], inside: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in inside:
                raise ConfigError(f"{where}: the function {key[0]}::{key[1]} calls itself")
            if key in bodies and key not in sizes:
                if len(inside) == _DEEPEST:
                    raise ConfigError(
                        f"{where}: its functions call each other more than {_DEEPEST} deep"
                    )
                sizes[key] = size(bodies[key], (*inside, key))
            total += sizes.get(key, 1)
            for inner in (g for attribute in node.attribute for g in _graphs(attribute)):
                total += size(inner.node, inside)
        return total

    if size(model.graph.node, ()) > _MOST_NODES:
        raise ConfigError(f"{where}: its functions expand to more than {_MOST_NODES:,} nodes")


def _check_graph(graph: onnx.GraphProto, where: object) -> None:
    _check_text(graph.name, "the name of a graph", where)
    for value in (*graph.input, *graph.output, *graph.value_info):
        _check_text(value.name, "the name of a value", where)
        tensor = value.type.tensor_type
        if tensor.elem_type not in _TYPES:
            raise ConfigError(
                f"{where}: value '{value.name}' has element type {tensor.elem_type}, which ONNX does not "
                "have; the file is damaged"
            )
        for dim in tensor.shape.dim:
            _check_text(dim.dim_param, f"the name of a size of '{value.name}'", where)
    for stored in graph.initializer:
        _check_tensor(stored, where)
    _check_nodes(graph.node, where)


def _check_nodes(nodes: Iterable[onnx.NodeProto], where: object) -> None:
    for node in nodes:
        for text in (node.op_type, node.domain, node.name, *node.input, *node.output):
            _check_text(text, f"a name in a node {node.op_type!r}", where)
        for attribute in node.attribute:
            _check_text(attribute.name, f"an attribute of a node {node.op_type!r}", where)
            if attribute.type not in _ATTRIBUTES:
                raise ConfigError(
                    f"{where}: node '{node.name}' ({node.op_type}): attribute '{attribute.name}' has type "
                    f"{attribute.type}, which ONNX does not have; the file is damaged"
                )
            for tensor in _tensors(attribute):
                _check_tensor(tensor, where)
            for inner in _graphs(attribute):
                _check_graph(inner, where)


def _tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.type == onnx.AttributeProto.TENSOR:
        yield attribute.t
    yield from attribute.tensors


def _graphs(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    if attribute.type == onnx.AttributeProto.GRAPH:
        yield attribute.g
    yield from attribute.graphs


def _check_tensor(tensor: onnx.TensorProto, where: object) -> None:
    _check_text(tensor.name, "the name of a tensor", where)
    what = f"{where}: tensor '{tensor.name}'"
    if tensor.data_type not in _TYPES or tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise ConfigError(
            f"{what} has element type {tensor.data_type}, which ONNX does not have; the file is damaged"
        )
    if any(size < 0 for size in tensor.dims):
        raise ConfigError(f"{what} has the shape {list(tensor.dims)}; sizes are 0 or more")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    wanted, got = math.prod(tensor.dims), _count(tensor)
    if got != wanted:
        raise ConfigError(
            f"{what}: its shape {list(tensor.dims)} is of {wanted} numbers, the file has {got}; "
            "it is cut off or damaged"
        )


def _count(tensor: onnx.TensorProto) -> int:
    """How many numbers are there; one of a shape's count where a packed last byte may be part of it."""
    wanted = math.prod(tensor.dims)
    if tensor.data_type == onnx.TensorProto.STRING:
        return len(tensor.string_data)
    bits = _BITS.get(tensor.data_type)
    if tensor.HasField("raw_data"):
        if bits is not None:
            whole = (wanted * bits + 7) // 8
            return wanted if len(tensor.raw_data) == whole else len(tensor.raw_data) * 8 // bits
        size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        return -1 if len(tensor.raw_data) % size else len(tensor.raw_data) // size
    stored = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))
    if bits is not None:
        return wanted if stored == (wanted * bits + 7) // 8 else stored * 8 // bits
    complex_ = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)
    return stored // 2 if tensor.data_type in complex_ else stored


def _check_text(text: object, what: str, where: object) -> None:
    """Protobuf gives bytes where a name is no UTF-8."""
    if not isinstance(text, str):
        raise ConfigError(f"{where}: {what} is no text ({text!r:.60}); the file is damaged")
