"""QConv, QConvAdd, QConvLookup: int8 convolution, requantisation, and a residual or a function in one node.

    QConv(x, x_scale, x_zero_point, w, w_scale, bias, y_scale, y_zero_point) -> y
    QConvAdd(x, x_scale, x_zero_point, w, w_scale, bias, conv_scale, conv_zero_point,
             residual, residual_scale, residual_zero_point, y_scale, y_zero_point) -> y
    QConvLookup(x, x_scale, x_zero_point, w, w_scale, bias, conv_scale, conv_zero_point,
                table, y_scale, y_zero_point) -> y
    QConvLookup2 to QConvLookup8: as QConvLookup; a file has one of these names for each function

x, y, residual: uint8 or int8 images of rank 4, or 3 for one dimension; w: int8 [o, i / group, kh, kw] or
[o, i / group, k]; w_scale: float32 [o]; bias: int32 [o] in steps of x_scale * w_scale; table: 256 values of the type
of y, which y takes at the byte of the rounded convolution: the function, which is what the body computes. conv,
residual and y share one type. Attributes strides, pads, dilations, group mean what they mean in Conv. Layout is
explicit: x_perm brings x to [n, c, h, w], y_perm brings the [n, c, h, w] result to y; residual is laid out as y.

A Relu needs no attribute: with y_zero_point at the least value it is the saturation. The convolution of QConvAdd is
rounded to (conv_scale, conv_zero_point) before the addition, exactly as the stock QLinearConv and QLinearAdd do it.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import AXIS_0, Body
from squeeze.ops.formula import Formula
from squeeze.ops.signatures import SIGNATURES

NCHW = (0, 1, 2, 3)
TO_NHWC = (0, 2, 3, 1)
FROM_NHWC = (0, 3, 1, 2)
# One dimension
NCW = (0, 1, 2)
TO_NWC = FROM_NWC = (0, 2, 1)

CONV_ATTRIBUTES = {
    "strides": ir.AttributeType.INTS,
    "pads": ir.AttributeType.INTS,
    "dilations": ir.AttributeType.INTS,
    "group": ir.AttributeType.INT,
}
ATTRIBUTES = {
    **CONV_ATTRIBUTES,
    "x_perm": ir.AttributeType.INTS,
    "y_perm": ir.AttributeType.INTS,
}


def qconv(domain: str, opset: int) -> ir.Function:
    """The body of QConv in standard operators of `opset`; ONNX Runtime fuses it to QLinearConv."""
    body = Body(SIGNATURES["QConv"].names)
    y = body.transpose(body.quantise(convolution(body), "y"), "y_perm")
    return body.function("QConv", domain, opset, y, ATTRIBUTES)


def qconv_add(domain: str, opset: int) -> ir.Function:
    """The body of QConvAdd; ONNX Runtime fuses it to QLinearConv and QLinearAdd."""
    body = Body(SIGNATURES["QConvAdd"].names)
    conv = body.transpose(body.quantise(convolution(body), "conv"), "y_perm")
    y = add_residual(body, conv, "conv")
    return body.function("QConvAdd", domain, opset, y, ATTRIBUTES)


def qconv_lookup(name: str, domain: str, opset: int, formula: Formula) -> ir.Function:
    """The body of the QConvLookup called `name`; ONNX Runtime fuses it to QLinearConv and what it has for `formula`."""
    body = Body(SIGNATURES[name].names)
    # The function in front of the Transpose, which then meets the one of the next node and cancels.
    found = formula.write(body, body.quantise(convolution(body), "conv"), "conv")
    y = body.transpose(found, "y_perm")
    return body.function(name, domain, opset, y, ATTRIBUTES, words=formula.words)


def convolution(body: Body, w: ir.Value | str = "w") -> ir.Value:
    """The channels-first float convolution of x with the int8 `w`, still to be quantised."""
    x = body.dequantise(body.transpose("x", "x_perm"), "x")
    weights = body.add("DequantizeLinear", w, "w_scale", attributes=AXIS_0)
    bias_scale = body.add("Mul", "x_scale", "w_scale")
    bias = body.add("DequantizeLinear", "bias", bias_scale, attributes=AXIS_0)
    return body.add("Conv", x, weights, bias, attributes=body.references(CONV_ATTRIBUTES))


def add_residual(body: Body, product: ir.Value, tensor: str) -> ir.Value:
    """y: the quantised `product` (with the scale of `tensor`) and the residual, added and quantised."""
    residual = body.dequantise("residual", "residual")
    return body.quantise(body.add("Add", body.dequantise(product, tensor), residual), "y")
