"""What a quantised file takes: as the paper counts it, and as its bytes are; and whether float weights are left in it.

The formulas are those of Polino, Pascanu, Alistarh: Model compression via distillation and quantization (2018). They
count a Huffman code over the symbols of all quantised weights and two floats for each bucket; codebooks, which they
leave out, are counted here. Files hold no Huffman code: packed indices have a whole number of bits.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, numpy_helper

from squeeze.account.quantised_tensors import FLOAT_BYTES, quantised_tensors, stored_tensors
from squeeze.account.stored import stored
from squeeze.account.weigh import read
from squeeze.errors import ConfigError

Array = NDArray[Any]  # Any: tensors of several element types

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
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
    layers = list({layer.name: layer for layer in quantised_tensors(proto.graph)}.values())
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
    return next(quantised_tensors(read(path).graph), None) is None


def float_weights(path: Path, of: Path | None = None) -> list[str]:
    """The layers whose weights are stored as floats: convolutions, matrix products and recurrent ones that take such a
    tensor, directly or behind operators that only hand it on. A file that is called quantised has none.

    A tensor with no more numbers than its longest axis could be a bias, and is not counted. A layer is called as in
    `of`, the float file that `path` was made from, where that has one of the same numbers; else by its own name, or as
    its tensor. Raises MeasureError.
    """
    left = list(_float_layers(read(path).graph))
    # What is made compact has no names of nodes, and short ones of tensors.
    known: dict[bytes, list[str]] = {}
    if left and of is not None:
        for node, tensor in _float_layers(read(of).graph):
            known.setdefault(_numbers(tensor, of), []).append(node.name or tensor.name)
    found: dict[str, None] = {}
    for node, tensor in left:
        names = known.get(_numbers(tensor, path), [])
        # Equal tensors of several layers may be one by now: each layer takes a name, the last is never used up.
        name = names.pop(0) if len(names) > 1 else (names or [node.name or tensor.name])[0]
        found[name] = None
    return list(found)


def _float_layers(graph: GraphProto) -> Iterator[tuple[NodeProto, TensorProto]]:
    tensors = {tensor.name: tensor for tensor in stored_tensors(graph)}
    for node in graph.node:
        if node.op_type in _HANDS_ON and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    for node in graph.node:
        for position in _LAYERS.get(node.op_type, ()):
            tensor = tensors.get(node.input[position]) if position < len(node.input) else None
            if tensor is None or tensor.data_type not in _FLOATS:
                continue
            if math.prod(tensor.dims) > max(tensor.dims, default=1):
                yield node, tensor


def _numbers(tensor: TensorProto, file: Path) -> bytes:
    """A digest of the numbers of `tensor`, however they are laid out."""
    values = numpy_helper.to_array(tensor, base_dir=str(file.parent)).astype(np.float32)
    return hashlib.sha256(np.sort(values, axis=None).tobytes()).digest()
