"""Which layers of a file have int8 weights whose products can saturate on x86 CPUs without VNNI.

Read are QDQ graphs, graphs of ONNX Runtime's own int8 operators, and our ops, for their function bodies; int8 weights
that are constants, also as codebooks. Safe are depthwise convolutions, which the runtime multiplies in 32 bits, and
weights of type uint8, in 16. s8 activations count as u8: on x86 the runtime moves them by 128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import ops
from squeeze.graph import qdq
from squeeze.graph.values import constant, integer, integers, is_op, producer
from squeeze.old_x86.saturation import Pairs, unsafe, worst_sums
from squeeze.ops.packing import unpack

Json = dict[str, Any]  # Any: JSON
_Rows = NDArray[np.int8]


@dataclass(frozen=True)
class Risk:
    """A layer with channels in which two products can leave int16, and the furthest that their sum can get."""

    name: str
    op_type: str
    channels: int
    channels_at_risk: int
    worst_sum: int

    def to_json(self) -> Json:
        return asdict(self)


def at_risk(model: ir.Model, pairs: Pairs = "runtime") -> list[Risk]:
    """The layers with unsafe channels, in the order of the graph."""
    found = []
    for node in model.graph:
        weights = int8_weights(node)
        if weights is None or weights.size == 0 or _is_depthwise(node, weights):
            continue
        risky = unsafe(weights, pairs=pairs)
        if risky.any():
            sums = worst_sums(weights, pairs=pairs)
            worst = int(sums[np.argmax(np.where(risky, np.abs(sums), 0))])
            name = node.name or str(node.outputs[0].name)
            found.append(Risk(name, node.op_type, len(weights), int(risky.sum()), worst))
    return found


def int8_weights(node: ir.Node) -> _Rows | None:
    """The constant int8 weights [o, ...] of a node that multiplies them by 8-bit activations, or None."""
    read = _READERS.get((node.domain.removeprefix("ai.onnx"), node.op_type))
    return read(node) if read is not None else None


def _is_depthwise(node: ir.Node, weights: _Rows) -> bool:
    return (
        "Conv" in node.op_type
        and weights.shape[1] == 1
        and integer(node, "group", 1) == len(weights)
    )


def _behind_quantiser(node: ir.Node) -> _Rows | None:
    """Of a Conv, Gemm or MatMul of a QDQ graph."""
    if len(node.inputs) < 2 or qdq.dequantised(node.inputs[0]) is None:
        return None
    first = is_op(node, "Conv") or integer(node, "transB", 0) == 1
    value = node.inputs[1]
    if (transpose := producer(value, "Transpose")) is not None:
        value = transpose.inputs[0]
    dequantise = producer(value, "DequantizeLinear")
    stored = dequantise.inputs[0] if dequantise is not None else None
    if stored is None or stored.dtype == ir.DataType.UINT8:
        return None
    try:
        return qdq.weights(node.inputs[1], 0 if first else -1).integers
    except qdq.Refused:
        return None


def _input(index: int, axis: int = 0) -> Callable[[ir.Node], _Rows | None]:
    """Of a node that has them as an input, output channels on `axis` (or first, when its attribute transB says so)."""

    def read(node: ir.Node) -> _Rows | None:
        stored = constant(node.inputs[index]) if len(node.inputs) > index else None
        if stored is None or stored.dtype != np.int8:
            return None
        return np.moveaxis(stored, 0 if integer(node, "transB", 0) else axis, 0).astype(np.int8)

    return read


def _codebook(node: ir.Node) -> _Rows | None:
    named = dict(zip(ops.SIGNATURES[node.op_type].inputs.values(), node.inputs, strict=False))
    indices, books = constant(named["indices"]), constant(named["codebooks"])
    shape = integers(node, "w_shape")
    if indices is None or books is None or shape is None:
        return None
    count = int(np.prod(shape))
    index = unpack(indices.astype(np.uint8), integer(node, "bits", 0), count).astype(np.int64)
    book = np.arange(count) // integer(node, "bucket", count)
    return books.astype(np.int8)[book, index].reshape(shape)


def _of_ours() -> Iterator[tuple[str, Callable[[ir.Node], _Rows | None]]]:
    """Our ops with int8 weights, which have a scale, and how to read those."""
    for name, signature in ops.SIGNATURES.items():
        if signature.has("weight_scale"):
            at = signature.position("weights")
            yield name, _codebook if at is None else _input(at)


_MICROSOFT = "com.microsoft"
_READERS: dict[tuple[str, str], Callable[[ir.Node], _Rows | None]] = {
    ("", "Conv"): _behind_quantiser,
    ("", "Gemm"): _behind_quantiser,
    ("", "MatMul"): _behind_quantiser,
    ("", "MatMulInteger"): _input(1, -1),
    ("", "QLinearConv"): _input(3),
    ("", "QLinearMatMul"): _input(3, -1),
    (_MICROSOFT, "DynamicQuantizeMatMul"): _input(1, -1),
    (_MICROSOFT, "MatMulIntegerToFloat"): _input(1, -1),
    (_MICROSOFT, "QGemm"): _input(3, -1),
    (_MICROSOFT, "QLinearConv"): _input(3),
    **{(ops.DOMAIN, name): read for name, read in _of_ours()},
}
