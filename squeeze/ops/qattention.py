"""QAttention: attention of 8-bit queries, keys and values; scores and Softmax are float32, probabilities 8 bits.

A probability is stored as its share of the largest of its query, which has 1: a grid for all queries would leave those
that look at many keys few steps.

    QAttention(q, q_scale, q_zero_point, k, k_scale, k_zero_point, v, v_scale, v_zero_point, score_scale, mask,
               p_scale, p_zero_point, y_scale, y_zero_point) -> y
    QAttentionGuarded: the same, and a query whose keys are all masked by -inf has no probabilities

q: [b, s, heads * size]; k: [b, t, heads * size]; v: [b, t, heads * value_size]; y: [b, s, heads * value_size]; all of
them uint8, or all int8. mask: float32 of rank 0 to 4 that broadcasts to [b, heads, s, t], added to the scores; 0 for
none. p_scale: of the shares, 1 / 255; p_zero_point: the least value of its type. Attribute: split, which is
[0, 0, heads, -1], the shape that queries, keys and values are given.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.signatures import SIGNATURES

_TINY = 1e-30
ATTRIBUTES = {"split": ir.AttributeType.INTS}
# Of [b, length, heads, size] to [b, heads, length, size], and of keys to [b, heads, size, length].
HEADS_FIRST, TURNED = (0, 2, 1, 3), (0, 2, 3, 1)


def qattention(domain: str, opset: int) -> ir.Function:
    """The body of QAttention in standard operators of `opset`; what a query without a key gives is not defined."""
    return _body("QAttention", domain, opset)


def qattention_guarded(domain: str, opset: int) -> ir.Function:
    """The body of QAttentionGuarded in standard operators of `opset`."""
    return _body("QAttentionGuarded", domain, opset)


def _body(name: str, domain: str, opset: int) -> ir.Function:
    body = Body(SIGNATURES[name].names)
    # One constant, so that shapes follow where the node is read.
    shape = ir.RefAttr("value_ints", "split", ir.AttributeType.INTS)
    split = body.add("Constant", attributes=[shape])
    joined = body.constant(np.array([0, 0, -1], np.int64))

    def of_heads(tensor: str, perm: tuple[int, ...]) -> ir.Value:
        moved = body.add("Reshape", tensor, split)
        turned = body.add("Transpose", moved, attributes=[ir.AttrInt64s("perm", perm)])
        return body.dequantise(turned, tensor)

    scores = body.add("MatMul", of_heads("q", HEADS_FIRST), of_heads("k", TURNED))
    masked = body.add("Add", body.add("Mul", scores, "score_scale"), "mask")
    p = body.add("Softmax", masked, attributes=[ir.AttrInt64("axis", -1)])
    if name == "QAttentionGuarded":
        p = body.add("Where", body.add("IsNaN", p), body.constant(np.float32(0)), p)
    largest = _largest(body, p, opset)
    if name == "QAttentionGuarded":
        largest = body.add("Max", largest, body.constant(np.float32(_TINY)))
    shares = body.dequantise(body.quantise(body.add("Div", p, largest), "p"), "p")
    mixed = body.add("MatMul", shares, of_heads("v", HEADS_FIRST))
    y = body.quantise(body.add("Mul", mixed, largest), "y")
    y = body.add("Transpose", y, attributes=[ir.AttrInt64s("perm", HEADS_FIRST)])
    return body.function(name, domain, opset, body.add("Reshape", y, joined), ATTRIBUTES)


def _largest(body: Body, p: ir.Value, opset: int) -> ir.Value:
    """Of each query, [b, heads, s, 1]. Axes are an input since opset 18."""
    if opset < 18:
        return body.add("ReduceMax", p, attributes=[ir.AttrInt64s("axes", [-1])])
    return body.add("ReduceMax", p, body.constant(np.array([-1], np.int64)))
