"""The quantised tensors of a file, in every form that we write or read: weights of layers and tables of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from squeeze import ops
from squeeze.account.code_tables import code_tables
from squeeze.account.stored import tensor_bits, tensor_bytes
from squeeze.ops.codebookgather import unpacked
from squeeze.ops.packing import unpack
from squeeze.ops.signatures import Role

Array = NDArray[Any]  # Any: tensors of several element types

FLOAT_BYTES = 4
_GATHERED_BITS = {op_type: bits for bits, op_type in ops.GATHERS.items()}
_INTEGERS = {TensorProto.INT4, TensorProto.INT8, TensorProto.UINT4, TensorProto.UINT8}


@dataclass(frozen=True)
class QuantisedTensor:
    """One of weights, called `name`; of a table of embeddings a channel is a row."""

    name: str
    symbols: Array
    bits: int
    index_bytes: int
    channels: int
    scale_bytes: int
    codebook_bytes: int = 0
    codebook_values: int = 0


def quantised_tensors(
    graph: onnx.GraphProto, around: Mapping[str, TensorProto] | None = None
) -> Iterator[QuantisedTensor]:
    """Those of the bodies of If, Loop and Scan too, which see the tensors `around` them."""
    tensors = {**(around or {}), **{tensor.name: tensor for tensor in stored_tensors(graph)}}
    products = {n.input[0]: n.input[1] for n in graph.node if n.op_type == "Mul" and n.input[1:]}
    rows_of = {
        n.output[0]: n.input[0]
        for n in graph.node
        if n.op_type == "Gather" and n.input and n.output
    }
    tables = code_tables(graph, tensors)
    of_tables = frozenset().union(*(table.read for table in tables.values()))
    for node in graph.node:
        made = node.output[0] if node.output else ""
        pairs: list[tuple[str, str]] = []  # integers and their scale
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from quantised_tensors(attribute.g, tensors)
        ours = ops.SIGNATURES.get(node.op_type) if node.domain == ops.DOMAIN else None
        if ours is not None:
            named = dict(zip(ours.inputs.values(), node.input, strict=False))
            if node.op_type in _GATHERED_BITS:
                *codes, levels, scales = (tensors[name] for name in node.input[1:])
                yield _looked_up(_GATHERED_BITS[node.op_type], codes, levels, scales)
            elif "indices" in named:
                yield _coded(node, tensors, named)
            elif "weights" in named:
                yield _plain(tensors[named["weights"]], tensors[named["weight_scale"]])
        elif table := tables.get(made):
            yield _looked_up(table.bits, table.codes, table.levels, table.scales)
        elif node.op_type == "MatMulNBits" and node.input[2:]:
            if node.input[1] in tensors and node.input[2] in tensors:
                yield _in_blocks(node, tensors[node.input[1]], tensors[node.input[2]])
        elif node.op_type == "DynamicQuantizeLSTM":
            for at, scale_at in ((1, 8), (2, 10)):
                if scale_at < len(node.input):
                    pairs.append((node.input[at], node.input[scale_at]))
        elif (
            node.op_type == "Cast"
            and made in products
            and not of_tables.intersection(node.input)
            and node.input
        ):
            numbers, factors = node.input[0], products[made]
            pairs.append((rows_of.get(numbers, numbers), rows_of.get(factors, factors)))
        elif node.op_type == "DequantizeLinear" and node.domain == "" and node.input[1:]:
            pairs.append((node.input[0], node.input[1]))
        for name, scale_name in pairs:
            weights, scale = tensors.get(name), tensors.get(scale_name)
            if weights is not None and scale is not None and weights.data_type in _INTEGERS:
                yield _plain(weights, scale)


def _plain(weights: TensorProto, scale: TensorProto) -> QuantisedTensor:
    symbols = numpy_helper.to_array(weights).astype(np.int64)
    bits, size = tensor_bits(weights), tensor_bytes(weights)
    channels = math.prod(scale.dims)
    return QuantisedTensor(weights.name, symbols, bits, size, channels, FLOAT_BYTES * channels)


def _in_blocks(node: onnx.NodeProto, weights: TensorProto, scales: TensorProto) -> QuantisedTensor:
    given = {a.name: a.i for a in node.attribute}
    bits, packed = given.get("bits", 4), numpy_helper.to_array(weights)
    each = np.stack([packed & 15, packed >> 4], axis=-1) if bits == 4 else packed
    rows = each.reshape(given["N"], -1)[:, : given["K"]]
    count = math.prod(scales.dims)
    return QuantisedTensor(
        weights.name, rows.astype(np.int64), bits, packed.nbytes, count, FLOAT_BYTES * count
    )


def _coded(
    node: onnx.NodeProto, tensors: Mapping[str, TensorProto], named: Mapping[Role, str]
) -> QuantisedTensor:
    """`named`: role -> the node's input."""
    given = {a.name: a for a in node.attribute}
    shape, bits = list(given["w_shape"].ints), given["bits"].i
    stream = numpy_helper.to_array(tensors[named["indices"]])
    books = numpy_helper.to_array(tensors[named["codebooks"]])
    return QuantisedTensor(
        named["indices"],
        unpack(stream, bits, math.prod(shape)),
        bits,
        stream.nbytes,
        shape[0],
        FLOAT_BYTES * shape[0] if "weight_scale" in named else 0,
        books.nbytes,
        books.size,
    )


def _looked_up(
    bits: int, codes: Sequence[TensorProto], levels: TensorProto, scales: TensorProto
) -> QuantisedTensor:
    """A table of few bits: its codes, its levels and a scale for each row."""
    planes = [numpy_helper.to_array(tensor) for tensor in codes]
    return QuantisedTensor(
        codes[0].name,
        unpacked(planes, bits).astype(np.int64),
        bits,
        sum(plane.nbytes for plane in planes),
        math.prod(scales.dims),
        tensor_bytes(scales),
        tensor_bytes(levels),
        math.prod(levels.dims),
    )


def stored_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            yield tensor
