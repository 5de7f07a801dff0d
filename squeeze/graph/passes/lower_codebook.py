"""Finds layers with quantised weights of few values that are computed in float: CodebookConv and CodebookGemm.

Taken: Conv (one or two dimensions), Gemm, MatMul with weights behind DequantizeLinear whose input or result is float:
       the last layer of a classifier, graphs in which only weights are quantised. The books hold the float32 numbers
       that DequantizeLinear gives; an int32 bias becomes float.
Left:  half precision, weights that others read too, and whatever is not smaller so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph import qdq
from squeeze.graph.codes import cheapest
from squeeze.graph.layout import Planned
from squeeze.graph.passes import lower_qconv, lower_qgemm
from squeeze.graph.passes.code_weights import FAMILY, NODE_BYTES, Coded, code_attributes
from squeeze.graph.qdq import Refused, Weights, only_quantiser
from squeeze.graph.values import constant, is_op, only_user, producer


def find(nodes: Iterable[ir.Node]) -> dict[ir.Node, Coded]:
    """The coded forms of those of `nodes`, which no int8 op takes, that get smaller."""
    found: dict[ir.Node, Coded] = {}
    for node in nodes:
        w = node.inputs[1] if len(node.inputs) > 1 else None
        if w is None or only_user(w) is None or not is_op(node, "Conv", "Gemm", "MatMul"):
            continue
        try:
            coded = _match(node)
        except Refused:
            continue
        if coded is not None:
            found[node] = coded
    return found


def _match(node: ir.Node) -> Coded | None:
    attributes: dict[str, Sequence[int] | int] = {}
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    y = node.outputs[0]
    if is_op(node, "Conv"):
        weights, x, op_type = lower_qconv.operands(node), "x", "CodebookConv"
        attributes = lower_qconv.attributes(node, weights.integers.ndim - 2)
    else:
        (weights, bias, y), x, op_type = lower_qgemm.operands(node), "a", "CodebookGemm"
    source = node.inputs[0]
    if source is None or source.dtype == ir.DataType.FLOAT16:
        return None  # the ops compute in float32
    if qdq.dequantised(source) is not None and only_quantiser(y) is not None:
        return None  # the runtime computes it in int8
    real = weights.scale.reshape(-1, *[1] * (weights.integers.ndim - 1)) * weights.integers
    codes = cheapest(real.astype(np.float32, copy=False))
    if codes is None:
        return None
    # What goes: the integers, their scales, those of an int32 bias.
    before = weights.integers.nbytes + weights.scale.nbytes
    if producer(bias, "DequantizeLinear") is not None:
        before += weights.scale.nbytes
    saved = before - codes.bytes - NODE_BYTES
    if saved <= 0:
        return None
    planned = Planned(
        FAMILY,
        op_type,
        node.name or f"{y.name}_{op_type.lower()}",
        _last(node, y),
        y,
        {
            x: source,
            "indices": codes.indices,
            "codebooks": codes.codebooks,
            "bias": _bias(bias, weights),
        },
        {**code_attributes(codes), **attributes},
        free=x if x == "x" else "",
    )
    return Coded((planned,), saved)


def _last(node: ir.Node, y: ir.Value) -> ir.Node:
    """The node itself, or the Add of a bias behind it."""
    return y.producer() or node


def _bias(value: ir.Value | None, weights: Weights) -> NDArray[np.float32]:
    """The bias [o] in real numbers, zeros where there is none. Raises Refused."""
    count = len(weights.integers)
    if value is None:
        return np.zeros(count, np.float32)
    given = constant(value)
    if given is None and (node := producer(value, "DequantizeLinear")) is not None:
        stored, scale = constant(node.inputs[0]), constant(node.inputs[1])
        zero_point = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if stored is None or scale is None or np.any(zero_point) or not np.isfinite(scale).all():
            raise Refused("its bias is not one constant number per output channel")
        with np.errstate(over="ignore"):  # what is too large is infinite in the runtime too
            given = stored.astype(np.float32) * scale.astype(np.float32)
    if (
        given is None
        or given.size not in (1, count)
        or given.shape[-1:] not in ((), (1,), (count,))
    ):
        raise Refused("its bias is not one constant number per output channel")
    spread = np.broadcast_to(given.reshape(-1).astype(np.float32), (count,))
    return np.ascontiguousarray(spread)
