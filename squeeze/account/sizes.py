"""What a quantised file takes: as the paper counts it, and as its bytes are; and whether float weights are left in it.

The formulas are those of Polino, Pascanu, Alistarh: Model compression via distillation and quantization (2018). They
count a Huffman code over the symbols of all quantised weights and two floats for each bucket; codebooks, which they
leave out, are counted here. Files hold no Huffman code: packed indices have a whole number of bits.
"""

from __future__ import annotations

import gzip
import heapq
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from squeeze import ops
from squeeze.account.stored import stored, tensor_bits, tensor_bytes
from squeeze.account.weigh import read
from squeeze.errors import ConfigError
from squeeze.ops.packing import unpack
from squeeze.ops.signatures import Role

Array = NDArray[Any]  # Any: tensors of several element types

FLOAT_BYTES = 4
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_INTEGERS = {TensorProto.INT4, TensorProto.INT8, TensorProto.UINT4, TensorProto.UINT8}
# The inputs of float layers that may be weights.
_LAYERS = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "FusedConv": (1,),
    "FusedMatMul": (0, 1),
    "GRU": (1, 2),
    "Gemm": (0, 1),
    "LSTM": (1, 2),
    "MatMul": (0, 1),
    "RNN": (1, 2),
}
_HANDS_ON = {"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Transpose"}


@dataclass(frozen=True)
class Account:
    """The bytes of a quantised file. `unquantised` numbers are biases and float weights, of 4 bytes each.

    symbols: a weight's index where it is packed, else its integer; mean_bits: of their Huffman code, pooled over all
    layers; analytic_bytes: by the formula, each output channel a bucket
    """

    quantised: int
    unquantised: int
    index_bytes: int
    codebook_bytes: int
    scale_bytes: int
    stored_bits: float
    mean_bits: float
    entropy_bits: float
    analytic_bytes: float
    file_bytes: int
    zlib_bytes: int
    gzip_bytes: int


def entropy_bits(counts: Sequence[int]) -> float:
    """Entropy of symbols that occur `counts` times."""
    total = sum(counts)
    return -sum(n / total * math.log2(n / total) for n in counts if n) if total else 0.0


def huffman_mean_length(counts: Sequence[int]) -> float:
    """Mean bits of a Huffman code for symbols that occur `counts` times: entropy <= length < entropy + 1.

    A single symbol needs no bits.
    """
    total = sum(counts)
    heap = [n for n in counts if n]
    heapq.heapify(heap)
    bits = 0
    while len(heap) > 1:  # each pair that is joined gets one bit longer
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        bits += joined
        heapq.heappush(heap, joined)
    return bits / total if total else 0.0


def analytic_bytes(
    *,
    quantised: int,
    mean_bits: float,
    bucket: float | None,
    unquantised: int = 0,
    codebook_values: int = 0,
) -> float:
    """4 for each unquantised number, the code of the weights, 8 for each bucket, 4 for each value of a codebook."""
    buckets = 0.0 if bucket is None else 2 * FLOAT_BYTES * quantised / bucket
    numbers = FLOAT_BYTES * (unquantised + codebook_values)
    return numbers + mean_bits * quantised / 8 + buckets


def account(path: Path) -> Account:
    """Reads what a quantised ONNX file of ours stores: QDQ, our int8 ops, codebook ops, also mixed and compact.

    Raises MeasureError when it is not an ONNX file, ConfigError when it has no quantised weights.
    """
    proto = read(path)
    layers = list({layer.name: layer for layer in _layers(proto.graph)}.values())
    if not layers:
        raise ConfigError(f"{path}: has no quantised weights; give a file that was quantised")
    data = path.read_bytes()
    counts: Counter[int] = Counter()
    for layer in layers:
        values, times = np.unique(layer.symbols, return_counts=True)
        counts.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
    quantised = sum(layer.symbols.size for layer in layers)
    unquantised = stored(proto).params - quantised
    mean_bits = huffman_mean_length(list(counts.values()))
    return Account(
        quantised=quantised,
        unquantised=unquantised,
        index_bytes=sum(layer.index_bytes for layer in layers),
        codebook_bytes=sum(layer.codebook_bytes for layer in layers),
        scale_bytes=sum(layer.scale_bytes for layer in layers),
        stored_bits=sum(layer.bits * layer.symbols.size for layer in layers) / quantised,
        mean_bits=mean_bits,
        entropy_bits=entropy_bits(list(counts.values())),
        analytic_bytes=analytic_bytes(
            quantised=quantised,
            mean_bits=mean_bits,
            bucket=quantised / sum(layer.channels for layer in layers),
            unquantised=unquantised,
            codebook_values=sum(layer.codebook_values for layer in layers),
        ),
        file_bytes=len(data),
        zlib_bytes=len(zlib.compress(data, 9)),
        gzip_bytes=len(gzip.compress(data, 9, mtime=0)),
    )


def is_float(path: Path) -> bool:
    """Whether an ONNX file has no quantised weights, so that there is nothing to `account` for. Raises MeasureError."""
    return next(_layers(read(path).graph), None) is None


def float_weights(path: Path) -> list[str]:
    """The stored float tensors that are weights of a convolution, matrix product or recurrent layer, directly or behind
    operators that only hand them on. A file that is called quantised has none. Raises MeasureError.

    A tensor with no more numbers than its longest axis could be a bias, and is not counted.
    """
    graph = read(path).graph
    tensors = {tensor.name: tensor for tensor in _tensors(graph)}
    for node in graph.node:
        if node.op_type in _HANDS_ON and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    found: dict[str, None] = {}
    for node in graph.node:
        for position in _LAYERS.get(node.op_type, ()):
            tensor = tensors.get(node.input[position]) if position < len(node.input) else None
            if tensor is None or tensor.data_type not in _FLOATS:
                continue
            if math.prod(tensor.dims) > max(tensor.dims, default=1):
                found[tensor.name] = None
    return list(found)


@dataclass(frozen=True)
class _Layer:
    """The weights of one stored tensor, called `name`."""

    name: str
    symbols: Array
    bits: int
    index_bytes: int
    channels: int
    scale_bytes: int
    codebook_bytes: int = 0
    codebook_values: int = 0


def _layers(
    graph: onnx.GraphProto, around: Mapping[str, TensorProto] | None = None
) -> Iterator[_Layer]:
    """Those of the bodies of If, Loop and Scan too, which see the tensors `around` them."""
    tensors = {**(around or {}), **{tensor.name: tensor for tensor in _tensors(graph)}}
    products = {n.input[0]: n.input[1] for n in graph.node if n.op_type == "Mul" and n.input[1:]}
    for node in graph.node:
        pairs: list[tuple[str, str]] = []  # integers and their scale
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _layers(attribute.g, tensors)
        ours = ops.SIGNATURES.get(node.op_type) if node.domain == ops.DOMAIN else None
        if ours is not None:
            named = dict(zip(ours.inputs.values(), node.input, strict=False))
            if "indices" in named:
                yield _coded(node, tensors, named)
            elif "weights" in named:
                yield _plain(tensors[named["weights"]], tensors[named["weight_scale"]])
        elif node.op_type == "MatMulNBits":
            if node.input[1] in tensors and node.input[2] in tensors:
                yield _in_blocks(node, tensors[node.input[1]], tensors[node.input[2]])
        elif node.op_type == "DynamicQuantizeLSTM":
            for at, scale_at in ((1, 8), (2, 10)):
                if scale_at < len(node.input):
                    pairs.append((node.input[at], node.input[scale_at]))
        elif node.op_type == "Cast" and node.output[0] in products:
            pairs.append((node.input[0], products[node.output[0]]))
        elif node.op_type == "DequantizeLinear" and node.domain == "" and node.input[1:]:
            pairs.append((node.input[0], node.input[1]))
        for name, scale_name in pairs:
            weights, scale = tensors.get(name), tensors.get(scale_name)
            if weights is not None and scale is not None and weights.data_type in _INTEGERS:
                yield _plain(weights, scale)


def _plain(weights: TensorProto, scale: TensorProto) -> _Layer:
    symbols = numpy_helper.to_array(weights).astype(np.int64)
    bits, size = tensor_bits(weights), tensor_bytes(weights)
    channels = math.prod(scale.dims)
    return _Layer(weights.name, symbols, bits, size, channels, FLOAT_BYTES * channels)


def _in_blocks(node: onnx.NodeProto, weights: TensorProto, scales: TensorProto) -> _Layer:
    given = {a.name: a.i for a in node.attribute}
    bits, packed = given.get("bits", 4), numpy_helper.to_array(weights)
    each = np.stack([packed & 15, packed >> 4], axis=-1) if bits == 4 else packed
    rows = each.reshape(given["N"], -1)[:, : given["K"]]
    count = math.prod(scales.dims)
    return _Layer(
        weights.name, rows.astype(np.int64), bits, packed.nbytes, count, FLOAT_BYTES * count
    )


def _coded(
    node: onnx.NodeProto, tensors: Mapping[str, TensorProto], named: Mapping[Role, str]
) -> _Layer:
    """`named`: role -> the node's input."""
    given = {a.name: a for a in node.attribute}
    shape, bits = list(given["w_shape"].ints), given["bits"].i
    stream = numpy_helper.to_array(tensors[named["indices"]])
    books = numpy_helper.to_array(tensors[named["codebooks"]])
    return _Layer(
        named["indices"],
        unpack(stream, bits, math.prod(shape)),
        bits,
        stream.nbytes,
        shape[0],
        FLOAT_BYTES * shape[0] if "weight_scale" in named else 0,
        books.nbytes,
        books.size,
    )


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            yield tensor
