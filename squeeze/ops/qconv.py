"""QConv and QConvAdd: int8 convolution, bias, requantisation and an optional residual in one node.

    QConv(x, x_scale, x_zero_point, w, w_scale, bias, y_scale, y_zero_point) -> y
    QConvAdd(x, x_scale, x_zero_point, w, w_scale, bias, conv_scale, conv_zero_point,
             residual, residual_scale, residual_zero_point, y_scale, y_zero_point) -> y

x, y, residual: uint8 images; w: int8 [o, i / group, kh, kw]; w_scale: float32 [o]; bias: int32 [o] in steps of
x_scale * w_scale. Attributes strides, pads, dilations, group mean what they mean in Conv. Layout is explicit:
x_perm brings x to [n, c, h, w], y_perm brings the [n, c, h, w] result to y; residual is laid out as y.

A Relu needs no attribute: with y_zero_point 0 it is the saturation. The convolution of QConvAdd is rounded to
(conv_scale, conv_zero_point) before the addition, exactly as the stock QLinearConv and QLinearAdd do it.
"""

from __future__ import annotations

import onnx_ir as ir

NCHW = (0, 1, 2, 3)
TO_NHWC = (0, 2, 3, 1)
FROM_NHWC = (0, 3, 1, 2)

CONV_INPUTS = ("x", "x_scale", "x_zero_point", "w", "w_scale", "bias")
QCONV_INPUTS = (*CONV_INPUTS, "y_scale", "y_zero_point")
QCONV_ADD_INPUTS = (
    *CONV_INPUTS,
    "conv_scale",
    "conv_zero_point",
    "residual",
    "residual_scale",
    "residual_zero_point",
    "y_scale",
    "y_zero_point",
)
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
    body = _Body(QCONV_INPUTS)
    conv = body.convolution()
    quantised = body.add("QuantizeLinear", conv, "y_scale", "y_zero_point")
    return body.function("QConv", domain, opset, body.transpose(quantised, "y_perm"))


def qconv_add(domain: str, opset: int) -> ir.Function:
    """The body of QConvAdd; ONNX Runtime fuses it to QLinearConv and QLinearAdd."""
    body = _Body(QCONV_ADD_INPUTS)
    quantised = body.add("QuantizeLinear", body.convolution(), "conv_scale", "conv_zero_point")
    laid_out = body.transpose(quantised, "y_perm")
    conv = body.add("DequantizeLinear", laid_out, "conv_scale", "conv_zero_point")
    residual = body.add("DequantizeLinear", "residual", "residual_scale", "residual_zero_point")
    total = body.add("Add", conv, residual)
    return body.function(
        "QConvAdd", domain, opset, body.add("QuantizeLinear", total, "y_scale", "y_zero_point")
    )


class _Body:
    """Nodes of one function body; values of the signature are given by name."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self.inputs = {name: ir.Value(name=name) for name in inputs}
        self.nodes: list[ir.Node] = []

    def add(
        self, op_type: str, *inputs: ir.Value | str, attributes: tuple[ir.Attr, ...] = ()
    ) -> ir.Value:
        values = [self.inputs[v] if isinstance(v, str) else v for v in inputs]
        output = ir.Value(name=f"{op_type.lower()}_{len(self.nodes)}")
        self.nodes.append(ir.Node("", op_type, values, attributes, outputs=[output]))
        return output

    def transpose(self, value: ir.Value | str, attribute: str) -> ir.Value:
        perm = ir.RefAttr("perm", attribute, ir.AttributeType.INTS)
        return self.add("Transpose", value, attributes=(perm,))

    def convolution(self) -> ir.Value:
        planes = self.transpose("x", "x_perm")
        x = self.add("DequantizeLinear", planes, "x_scale", "x_zero_point")
        axis = ir.AttrInt64("axis", 0)
        w = self.add("DequantizeLinear", "w", "w_scale", attributes=(axis,))
        bias_scale = self.add("Mul", "x_scale", "w_scale")
        bias = self.add("DequantizeLinear", "bias", bias_scale, attributes=(axis,))
        references = tuple(ir.RefAttr(k, k, t) for k, t in CONV_ATTRIBUTES.items())
        return self.add("Conv", x, w, bias, attributes=references)

    def function(self, name: str, domain: str, opset: int, output: ir.Value) -> ir.Function:
        output.name = "y"
        graph = ir.Graph(
            list(self.inputs.values()),
            [output],
            nodes=self.nodes,
            opset_imports={"": opset},
            name=name,
        )
        declared = [ir.Attr(key, kind, None) for key, kind in ATTRIBUTES.items()]
        return ir.Function(domain, name, graph=graph, attributes=declared)
