"""QMaxPool and QGlobalAveragePool: pooling of 8-bit images that stay in their layout.

    QMaxPool(x) -> y
    QGlobalAveragePool(x, x_scale, x_zero_point, y_scale, y_zero_point) -> y

x, y: both uint8 or both int8, of rank 4 (images) or 3 (sequences). Attributes kernel_shape, strides, pads, dilations
mean what they mean in MaxPool. x_perm brings x to [n, c, h, w], y_perm brings the [n, c, ...] result to y.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.signatures import SIGNATURES

WINDOW_ATTRIBUTES = {
    "kernel_shape": ir.AttributeType.INTS,
    "strides": ir.AttributeType.INTS,
    "pads": ir.AttributeType.INTS,
    "dilations": ir.AttributeType.INTS,
}
LAYOUT_ATTRIBUTES = {"x_perm": ir.AttributeType.INTS, "y_perm": ir.AttributeType.INTS}
MAX_POOL_ATTRIBUTES = {**WINDOW_ATTRIBUTES, **LAYOUT_ATTRIBUTES}


def qmax_pool(domain: str, opset: int) -> ir.Function:
    """The body of QMaxPool in standard operators of `opset`; ONNX Runtime makes NhwcMaxPool of it."""
    body = Body(SIGNATURES["QMaxPool"].names)
    planes = body.transpose("x", "x_perm")
    largest = body.add("MaxPool", planes, attributes=body.references(WINDOW_ATTRIBUTES))
    y = body.transpose(largest, "y_perm")
    return body.function("QMaxPool", domain, opset, y, MAX_POOL_ATTRIBUTES)


def qglobal_average_pool(domain: str, opset: int) -> ir.Function:
    """The body of QGlobalAveragePool; ONNX Runtime fuses it to QLinearGlobalAveragePool."""
    body = Body(SIGNATURES["QGlobalAveragePool"].names)
    x = body.dequantise(body.transpose("x", "x_perm"), "x")
    quantised = body.quantise(body.add("GlobalAveragePool", x), "y")
    y = body.transpose(quantised, "y_perm")
    return body.function("QGlobalAveragePool", domain, opset, y, LAYOUT_ATTRIBUTES)
