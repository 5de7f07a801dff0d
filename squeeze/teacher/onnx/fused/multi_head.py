"""MultiHeadAttention of the runtime: of queries, keys and values that are computed elsewhere.

Cases: queries [n, s, h * d], keys [n, t, h * d] and values [n, t, h * e], a bias for the three side by side; keys and
       values that have their heads, [n, h, t, d]; masks as `padding` has them; a bias of scores [n or 1, h or 1, s, t].
Left:  caches of past tokens, biases that are computed; queries, keys and values packed into one tensor, for which the
       runtime has no kernel on a CPU.
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
    """Queries, keys and values, and the mask."""
    return [name for index in (0, 1, 2, 4) if (name := parts.given(index))]


def multi_head_attention(parts: Parts) -> None:
    """Inputs: query, key, value, bias, mask, bias of scores, and caches. Output: y."""
    if any(parts.given(index) for index in (6, 7, 8, 9)) or any(
        parts.wanted(index) for index in (1, 2, 3)
    ):
        raise Kept("a cache of past tokens")
    if not (parts.given(1) and parts.given(2)):
        raise Kept("queries, keys and values in one tensor")
    heads = int(parts.attribute("num_heads", 0))
    query, key, value = (str(parts.given(index)) for index in range(3))
    biases = _biases(parts)
    of_heads = scores.cut(parts, parts.plus(query, biases[0]), heads, scores.HEADS_FIRST)
    if len(parts.shape(1)) == 4:  # the bias is that of the queries alone
        turned, with_heads = parts.op("Transpose", key, perm=scores.SWAPPED), value
        width, axis = heads * parts.shape(2)[3], 2
    else:
        turned = scores.cut(parts, parts.plus(key, biases[1]), heads, scores.TURNED)
        with_heads = scores.cut(parts, parts.plus(value, biases[2]), heads, scores.HEADS_FIRST)
        width, axis = parts.shape(2)[2], 1
    scale = float(parts.attribute("scale", 0.0)) or 1 / math.sqrt(parts.shape(0)[2] // heads)
    products = scores.scaled(parts, of_heads, turned, scale)
    mask = padding.added(parts, 4, query, key, axis)
    masked = scores.masked(parts, products, mask, parts.given(5))
    scores.joined(parts, scores.mix(parts, masked, with_heads), width, parts.wanted(0))


def _biases(parts: Parts) -> list[str | None]:
    """Of queries, keys and values."""
    if not parts.given(3):
        return [None] * 3
    bias = parts.contents(parts.given(3))
    if bias is None:
        raise Kept("a bias that is computed")
    width = parts.shape(0)[2]
    return [parts.constant(part) for part in np.split(bias, [width, 2 * width])]
