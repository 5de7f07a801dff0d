"""Attention of the runtime: three products of one tensor, scores, mask, softmax, and the product with the values.

A bias of scores [.., s, t] is added as it is; `padding` has the masks.
Left: weights that are computed, caches of past tokens, rotary attention.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from squeeze.teacher.onnx.fused import padding, scores
from squeeze.teacher.onnx.fused.parts import Kept

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts


def asked(parts: Parts) -> list[str]:
    """The mask, and what its samples are counted by."""
    mask = parts.given(3)
    return [str(parts.given(0)), mask] if mask else []


def attention(parts: Parts) -> None:
    """Inputs: x, weights, bias, mask, past, bias of scores. Output: y."""
    weights, bias = parts.contents(parts.given(1)), parts.contents(parts.given(2))
    if parts.given(4) or parts.given(6) or parts.wanted(1):
        raise Kept("a cache of past tokens")
    if parts.attribute("do_rotary", 0):
        raise Kept("rotary")
    if weights is None or (parts.given(2) and bias is None):
        raise Kept("weights that are computed")
    heads, x = int(parts.attribute("num_heads", 0)), str(parts.given(0))
    sizes = list(parts.attribute("qkv_hidden_sizes", [])) or [weights.shape[1] // 3] * 3
    ends = np.cumsum(sizes)[:-1]
    biases = [None] * 3 if bias is None else np.split(bias, ends)
    query, key, value = (
        scores.cut(parts, _linear(parts, x, w, b), heads, order)
        for w, b, order in zip(
            np.split(weights, ends, axis=1),
            biases,
            (scores.HEADS_FIRST, scores.TURNED, scores.HEADS_FIRST),
            strict=True,
        )
    )
    scale = float(parts.attribute("scale", 0.0)) or 1 / math.sqrt(sizes[0] // heads)
    products = scores.scaled(parts, query, key, scale)
    masked = scores.masked(parts, products, padding.added(parts, 3, x, x), parts.given(5))
    scores.joined(parts, scores.mix(parts, masked, value), sizes[2], parts.wanted(0))


def _linear(parts: Parts, x: str, weights: np.ndarray, bias: np.ndarray | None) -> str:
    product = parts.op("MatMul", x, parts.constant(weights))
    return product if bias is None else parts.op("Add", product, parts.constant(bias))
