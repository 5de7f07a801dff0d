"""How many multiply-accumulates (MACs) one ONNX node makes, from the shapes of its values.

Cases: convolutions in float, QDQ, QLinear and our own forms; transposed convolution; matrix products with any
batch dimensions; recurrent cells (RNN, GRU, LSTM; their matrix products). Element-wise work, pooling and
normalisation count as nothing. Operators in NOT_KNOWN multiply in ways that are not worked out here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx

from squeeze.ops import SIGNATURES
from squeeze.ops.signatures import Kind

Shape = tuple[int | None, ...]


def _ours(kind: Kind) -> dict[str, int]:
    """Our ops of a kind, and which input holds their weights."""
    found = {n: s.position("weights", "indices") for n, s in SIGNATURES.items() if s.kind == kind}
    return {name: at for name, at in found.items() if at is not None}


# Which input holds the weights; here they are [out, in / groups, *kernel], or indices of such weights.
_CONVOLUTIONS = {
    **_ours("convolution"),
    "Conv": 1,
    "ConvInteger": 1,
    "FusedConv": 1,
    "QLinearConv": 3,
}
_TRANSPOSED = {"ConvTranspose": 1}  # [in, out / groups, *kernel]
_MATRIX_PRODUCTS = {
    **_ours("product"),  # QGemm of the runtime's own domain has its weights where ours has them
    "FusedMatMul": 1,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearMatMul": 3,
}
_RECURRENT = {"GRU": 1, "LSTM": 1, "RNN": 1}

WEIGHT_INPUT = {**_CONVOLUTIONS, **_TRANSPOSED, **_MATRIX_PRODUCTS, **_RECURRENT}
NOT_KNOWN = {"Attention", "DeformConv", "Einsum", "MatMulNBits", "MultiHeadAttention"}


def node_macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int | None:
    """The MACs of a node whose type is in WEIGHT_INPUT; None when a shape it needs is not known."""
    op = node.op_type
    weight = _coded_shape(node) or shapes.get(_at(node.input, WEIGHT_INPUT[op]))
    output = shapes.get(_at(node.output, 0))
    x = shapes.get(_at(node.input, 0))
    if op in _CONVOLUTIONS:
        return _product(output, weight and weight[1:])
    if op in _TRANSPOSED:
        return _product(x, weight and weight[1:])
    if op in _RECURRENT:  # x: [steps, batch, in]; each step multiplies both matrices once
        recurrent = _product(shapes.get(_at(node.input, 2)))
        once, times = _product(weight), _product(x and x[:2])
        if once is None or recurrent is None or times is None:
            return None
        return times * (once + recurrent)
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return _product(output, x and (x[-2 if transposed else -1],))


def _coded_shape(node: onnx.NodeProto) -> Shape | None:
    """The shape of weights of which a node has packed indices."""
    return next((tuple(a.ints) for a in node.attribute if a.name == "w_shape"), None)


def _product(*shapes: Shape | None) -> int | None:
    total = 1
    for shape in shapes:
        if shape is None or None in shape:
            return None
        total *= math.prod(d for d in shape if d is not None)
    return total


def _at(names: Sequence[str], position: int) -> str:
    return names[position] if position < len(names) else ""
