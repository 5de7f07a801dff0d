"""Attention in standard nodes: heads, scaled products, what is added to them, softmax, and the mix of the values.

The layout is the one that squeeze's own op takes: Reshape and Transpose of each operand, and both back of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

LOWEST = float(np.finfo(np.float32).min)
HEADS_FIRST = [0, 2, 1, 3]
TURNED = [0, 2, 3, 1]
SWAPPED = [0, 1, 3, 2]


def cut(parts: Parts, x: str, heads: int, order: list[int]) -> str:
    """[n, t, h * d] -> [n, h, t, d], in another order where that is asked for."""
    apart = parts.op("Reshape", x, parts.constant([0, 0, heads, -1]))
    return parts.op("Transpose", apart, perm=order)


def joined(parts: Parts, mixed: str, width: int, output: str | None) -> None:
    """[n, h, s, d] -> [n, s, width]."""
    together = parts.op("Transpose", mixed, perm=HEADS_FIRST)
    parts.op("Reshape", together, parts.constant([0, 0, width]), output=output)


def scaled(parts: Parts, query: str, turned_key: str, scale: float) -> str:
    """[n, h, s, d] and [n, h, d, t] -> [n, h, s, t]."""
    return parts.op("Mul", parts.op("MatMul", query, turned_key), parts.constant(scale))


def masked(parts: Parts, products: str, *masks: str | None) -> str:
    """The products and the masks that there are; these first, so that one sum is left for each."""
    given = [mask for mask in masks if mask is not None]
    return parts.op("Add", products, parts.plus(*given)) if given else products


def mix(
    parts: Parts, scores: str, value: str, output: str | None = None, *, guarded: bool = False
) -> str:
    """The values [n, h, t, d] by the softmax of [n, h, s, t]. guarded: a query without a key gives 0."""
    shares = parts.op("Softmax", scores, axis=-1)
    if guarded:
        nothing = parts.constant(np.float32(0))
        shares = parts.op("Where", parts.op("IsNaN", shares), nothing, shares)
    return parts.op("MatMul", shares, value, output=output)


def places(parts: Parts, x: str, axis: int) -> str:
    """0, 1, ... along an axis of x."""
    zero, one, at = (parts.constant(np.asarray(i, np.int64)) for i in (0, 1, axis))
    # Of a size that is known, the runtime takes what Squeeze makes of it for a tensor of one axis.
    end = parts.op("Gather", parts.op("Shape", x), at)
    return parts.op("Range", zero, end, one)


def no_later(parts: Parts, query: str, key: str, axis: int, axis_of_key: int | None = None) -> str:
    """[s, t]: which keys are no later than each query. axis: along which the queries lie; axis_of_key: the keys."""
    rows = parts.op("Unsqueeze", places(parts, query, axis), parts.constant([1]))
    return parts.op(
        "LessOrEqual", places(parts, key, axis if axis_of_key is None else axis_of_key), rows
    )
