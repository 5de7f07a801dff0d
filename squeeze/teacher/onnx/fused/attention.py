"""Attention of an encoder: three products, scores, mask, softmax, and the product with the values.

The mask is [n] (the length of each text), or [n, t] (above 0 for what counts); what it leaves out gets
mask_filter_value added to its score. A bias [.., t, t] is added to the scores as it is.
Left: weights that are computed, caches of past tokens, causal and rotary attention, other masks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

_FILTER = -10_000.0
_OTHERS = ("unidirectional", "do_rotary", "past_present_share_buffer")


def asked(parts: Parts) -> list[str]:
    """The mask, whose rank has to be known."""
    return [mask] if (mask := parts.given(3)) else []


def attention(parts: Parts) -> bool:
    """Inputs: x, weights, bias, mask, past, bias of scores. Output: y."""
    weights, bias = parts.contents(parts.given(1)), parts.contents(parts.given(2))
    past = parts.given(4) or parts.given(6) or parts.wanted(1)
    others = past or any(parts.attribute(name, 0) for name in _OTHERS)
    if weights is None or (parts.given(2) and bias is None) or others:
        return False
    mask = parts.given(3)
    if mask is not None and parts.ranks[mask] not in (1, 2):
        return False
    heads, x = int(parts.attribute("num_heads", 0)), str(parts.given(0))
    sizes = list(parts.attribute("qkv_hidden_sizes", [])) or [weights.shape[1] // 3] * 3
    ends = np.cumsum(sizes)[:-1]
    biases = [None] * 3 if bias is None else np.split(bias, ends)
    query, key, value = (
        _heads(parts, _linear(parts, x, w, b), heads, order)
        for w, b, order in zip(
            np.split(weights, ends, axis=1),
            biases,
            ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]),
            strict=True,
        )
    )
    scale = float(parts.attribute("scale", 0.0)) or 1 / math.sqrt(sizes[0] // heads)
    scores = parts.op("Mul", parts.op("MatMul", query, key), parts.constant(scale))
    masked = None if mask is None else _added(parts, mask, x)
    scores = parts.plus(scores, masked, parts.given(5))
    mixed = parts.op("MatMul", parts.op("Softmax", scores, axis=-1), value)
    together = parts.op("Transpose", mixed, perm=[0, 2, 1, 3])
    shape = parts.constant([0, 0, sizes[2]])
    parts.op("Reshape", together, shape, output=parts.wanted(0))
    return True


def _linear(parts: Parts, x: str, weights: np.ndarray, bias: np.ndarray | None) -> str:
    product = parts.op("MatMul", x, parts.constant(weights))
    return product if bias is None else parts.op("Add", product, parts.constant(bias))


def _heads(parts: Parts, x: str, heads: int, order: list[int]) -> str:
    """[n, t, h * d] -> [n, h, t, d], in another order where that is asked for."""
    apart = parts.op("Reshape", x, parts.constant([0, 0, heads, -1]))
    return parts.op("Transpose", apart, perm=order)


def _added(parts: Parts, mask: str, x: str) -> str:
    """What is added to the scores, [n, 1, 1, t]."""
    if parts.ranks[mask] == 1:
        end = parts.op("Squeeze", parts.op("Shape", x, start=1, end=2), parts.constant([0]))
        zero, one = (parts.constant(np.asarray(i, np.int64)) for i in (0, 1))
        places = parts.op("Range", zero, end, one)
        lengths = parts.op(
            "Unsqueeze", parts.op("Cast", mask, to=TensorProto.INT64), parts.constant([1])
        )
        counts = parts.op("Less", places, lengths)
    else:
        counts = parts.op("Greater", mask, parts.constant(np.asarray(0, np.int32)))
    wide = parts.op("Unsqueeze", counts, parts.constant([1, 2]))
    left_out = parts.op("Cast", parts.op("Not", wide), to=TensorProto.FLOAT)
    filter_value = float(parts.attribute("mask_filter_value", _FILTER))
    return parts.op("Mul", left_out, parts.constant(filter_value))
