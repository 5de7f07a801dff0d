"""Attention of ONNX since opset 23.

    softmax(cap(q k' * scale) + mask) v

Cases: queries, keys and values [n, t, h * d] or [n, h, t, d]; fewer heads of keys and values, each for several of the
       queries'; a mask of booleans, or one that is added; causal: a query has the keys up to its own place; cap(x) is
       softcap * tanh(x / softcap). A query without a key gives 0.
Left:  caches of past tokens, also those of which the node is told the lengths; scores that are read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from squeeze.teacher.onnx.fused import scores
from squeeze.teacher.onnx.fused.parts import Kept

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts


def asked(parts: Parts) -> list[str]:
    """Queries, keys and values, and the mask."""
    return [name for index in range(4) if (name := parts.given(index))]


def attention(parts: Parts) -> None:
    """Inputs: q, k, v, mask, and caches. Output: y."""
    if any(parts.given(index) for index in (4, 5, 6)) or parts.wanted(1) or parts.wanted(2):
        raise Kept("a cache of past tokens")
    if parts.wanted(3):
        raise Kept("its scores are read")
    flat = len(parts.shape(0)) == 3
    query, key, value = (str(parts.given(index)) for index in range(3))
    axis = 1 if flat else 2
    mask = _mask(parts, query, key, axis)
    if flat:
        heads = int(parts.attribute("q_num_heads", 0))
        groups = int(parts.attribute("kv_num_heads", 0))
        size = parts.shape(0)[2] // heads
        query = scores.cut(parts, query, heads, scores.HEADS_FIRST)
    else:
        heads, groups, size = parts.shape(0)[1], parts.shape(1)[1], parts.shape(0)[3]
    turned = _turned(parts, key, heads, groups, size)
    if flat:
        value = scores.cut(parts, value, groups, scores.HEADS_FIRST)
    width = parts.shape(2)[-1] // groups if flat else parts.shape(2)[-1]
    value = _for_each(parts, value, heads, groups, width)
    products = scores.scaled(
        parts, query, turned, float(parts.attribute("scale", 0.0)) or 1 / math.sqrt(size)
    )
    cap = float(parts.attribute("softcap", 0.0))
    if cap:
        share = parts.op("Tanh", parts.op("Div", products, parts.constant(cap)))
        products = parts.op("Mul", share, parts.constant(cap))
    masked, out = scores.masked(parts, products, mask), parts.wanted(0)
    # Causal attention alone leaves each query its own key.
    guarded = bool(parts.given(3))
    if not flat:
        scores.mix(parts, masked, value, out, guarded=guarded)
        return
    mixed = scores.mix(parts, masked, value, guarded=guarded)
    scores.joined(parts, mixed, heads * width, out)


def _turned(parts: Parts, key: str, heads: int, groups: int, size: int) -> str:
    """[n, h, d, t]."""
    flat = len(parts.shape(1)) == 3
    if heads == groups and flat:
        return scores.cut(parts, key, heads, scores.TURNED)
    if flat:
        key = scores.cut(parts, key, groups, scores.HEADS_FIRST)
    return parts.op("Transpose", _for_each(parts, key, heads, groups, size), perm=scores.SWAPPED)


def _for_each(parts: Parts, x: str, heads: int, groups: int, size: int) -> str:
    """[n, groups, t, d] -> [n, heads, t, d]: each as often as there are heads of queries to it."""
    if heads == groups:
        return x
    alone = parts.op("Unsqueeze", x, parts.constant([2]))
    often = parts.op("Expand", alone, parts.constant([1, 1, heads // groups, 1, 1]))
    return parts.op("Reshape", often, parts.constant([0, heads, -1, size]))


def _mask(parts: Parts, query: str, key: str, axis: int) -> str | None:
    """What is added to the scores; None where nothing is."""
    mask, causal = parts.given(3), None
    if parts.attribute("is_causal", 0):
        causal = scores.no_later(parts, query, key, axis)
    nothing = parts.constant(np.float32(0))
    excluded = parts.constant(np.float32(-np.inf))
    if mask is None:
        # A finite number, so that nobody takes a query to be without keys.
        lowest = parts.constant(np.float32(scores.LOWEST))
        return None if causal is None else parts.op("Where", causal, nothing, lowest)
    if parts.seen[mask].kind != "b":
        return mask if causal is None else parts.op("Where", causal, mask, excluded)
    both = mask if causal is None else parts.op("And", mask, causal)
    return parts.op("Where", both, nothing, excluded)
