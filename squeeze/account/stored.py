"""What an ONNX file stores: parameters, bytes of tensors, and bytes on disk. See `weigh` for what counts as what."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from squeeze import ops
from squeeze.account.code_tables import code_tables
from squeeze.errors import ConfigError, MeasureError
from squeeze.ops.signatures import GATHERS, PLANES

SCALES_AND_ZERO_POINTS = {
    "ConvInteger": {2, 3},
    "DequantizeLinear": {1, 2},
    "MatMulInteger": {2, 3},
    "MatMulNBits": {2, 3},
    "QGemm": {1, 2, 4, 5, 7, 8},
    "QLinearAdd": {1, 2, 4, 5, 6, 7},
    "QLinearConv": {1, 2, 4, 5, 6, 7},
    "QLinearMatMul": {1, 2, 4, 5, 6, 7},
    "QuantizeLinear": {1, 2},
    "Resize": {1, 2, 3},
}
# Of our own domain, where QGemm has other inputs than the runtime's; tables and codebooks are no
# parameters either.
OURS = {
    name: signature.positions(
        *("codebooks", "levels", "range", "row_scales", "scale", "table"),
        *("weight_scale", "zero_point"),
    )
    for name, signature in ops.SIGNATURES.items()
}
_INT32_BIAS = {"Add", "DequantizeLinear", "QGemm", "QLinearConv", *OURS}
_HALF_BYTE = {TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1}


@dataclass(frozen=True)
class Stored:
    """Parameters, and the bytes of all stored tensors."""

    params: int
    bytes: int


def stored(proto: onnx.ModelProto) -> Stored:
    """Counts the tensors of the graph, its inner graphs, and the bodies of functions (bytes only)."""
    users: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
    for graph in _graphs(proto.graph):
        for node in graph.node:
            for i, name in enumerate(node.input):
                users[name].append((node, i))
    params = size = 0
    for graph in _graphs(proto.graph):
        tensors = dict(_tensors(graph))
        tables = {t.codes[0].name: t for t in code_tables(graph, tensors).values()}
        params += sum(table.numbers for table in tables.values())
        of_tables = frozenset().union(*(table.read for table in tables.values()))
        for name, tensor in _tensors(graph):
            size += tensor_bytes(tensor)
            if name in of_tables:
                continue
            params += max((_parameters(tensor, node, i) for node, i in users[name]), default=0)
    for function in proto.functions:
        size += sum(tensor_bytes(t) for _, t in _constants(function.node))
    return Stored(params, size)


def file_bytes(model: Path) -> int:
    """The bytes on disk of an ONNX file and of the files with external data that it names.

    Raises ConfigError when it names one outside of its folder, MeasureError when one cannot be read.
    """
    try:
        proto = onnx.load(model, load_external_data=False)
        files = {model.resolve()}
        for graph in _graphs(proto.graph):
            for _, tensor in _tensors(graph):
                files.update(_external(model, tensor))
        return sum(path.stat().st_size for path in files)
    except OSError as e:
        raise MeasureError(f"{model}: cannot be read: {e.strerror} {e.filename or ''}") from e


def tensor_bits(tensor: TensorProto) -> int:
    """Bits of one stored number; 0 for strings."""
    if tensor.data_type == TensorProto.STRING:
        return 0
    if tensor.data_type in _HALF_BYTE:
        return 4
    return 8 * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def tensor_bytes(tensor: TensorProto) -> int:
    """Bytes of a stored tensor, as raw data."""
    if tensor.data_type == TensorProto.STRING:
        return sum(len(s) for s in tensor.string_data)
    return (int(math.prod(tensor.dims)) * tensor_bits(tensor) + 7) // 8


def _parameters(tensor: TensorProto, node: onnx.NodeProto, position: int) -> int:
    """How many numbers a stored tensor is to a node that reads it; packed indices are as many as the weights."""
    if not _is_parameter(tensor, node, position):
        return 0
    if node.op_type == "MatMulNBits" and position == 1:
        sizes = {a.name: a.i for a in node.attribute}
        return int(sizes.get("N", 0) * sizes.get("K", 0))
    ours = ops.SIGNATURES.get(node.op_type) if node.domain == ops.DOMAIN else None
    if ours is not None and position == ours.position("indices"):
        return math.prod(next(a.ints for a in node.attribute if a.name == "w_shape"))
    if ours is not None and position in ours.positions("codes"):
        # Of the rows of a table; what further bits the codes have is no further number.
        low = next(PLANES[bits][0] for bits, name in GATHERS.items() if name == node.op_type)
        return math.prod(tensor.dims) * 8 // low if position == ours.position("codes") else 0
    return math.prod(tensor.dims)


def _is_parameter(tensor: TensorProto, node: onnx.NodeProto, position: int) -> bool:
    if not tensor.dims or tensor.data_type in (
        TensorProto.BOOL,
        TensorProto.INT64,
        TensorProto.STRING,
        TensorProto.UINT64,
    ):
        return False
    if tensor.data_type == TensorProto.INT32 and node.op_type not in _INT32_BIAS:
        return False
    if node.domain == ops.DOMAIN:
        return position not in OURS.get(node.op_type, ())
    return position not in SCALES_AND_ZERO_POINTS.get(node.op_type, ())


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, sparse.values
        yield "", sparse.indices
    yield from _constants(graph.node)


def _constants(
    nodes: Iterable[onnx.NodeProto],
) -> Iterator[tuple[str, TensorProto]]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                name = node.output[0] if node.op_type == "Constant" and node.output else ""
                yield name, attribute.t


def _external(model: Path, tensor: TensorProto) -> list[Path]:
    if tensor.data_location != TensorProto.EXTERNAL:
        return []
    folder = model.resolve().parent
    paths = [
        (folder / entry.value).resolve()
        for entry in tensor.external_data
        if entry.key == "location"
    ]
    for path in paths:
        if not path.is_relative_to(folder):
            raise ConfigError(
                f"{model}: tensor '{tensor.name}': its data lies in {path}, outside of the model's folder"
            )
    return paths
