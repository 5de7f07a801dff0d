"""CodebookConv and CodebookGemm: float32 layers whose weights are indices of 2 to 4 bits into small codebooks.

    CodebookConv(x, indices, codebooks, bias) -> y      x, y: float32 images; bias: float32 [o]
    CodebookGemm(a, indices, codebooks, bias) -> y      a: float32 [..., k]; bias: float32 [n]; y: [..., n]

indices: uint8, the stream of bits of `squeeze.ops.packing`; codebooks: float32 [books, 2^bits]. Weight j, counted in
row-major order of w_shape ([o, i / group, kh, kw] or [n, k]), takes its value from book j // bucket. A bucket of
i / group * kh * kw, or of k, means one book for each output channel.

strides, pads, dilations, group mean what they mean in Conv; x_perm and y_perm are those of QConv. Images
[n, c, w] of one dimension have lists for one dimension.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import AXIS_0, Body
from squeeze.ops.qconv import ATTRIBUTES, CONV_ATTRIBUTES
from squeeze.ops.signatures import CODED_WEIGHTS, SIGNATURES

WEIGHT_INPUTS = tuple(CODED_WEIGHTS)
WEIGHT_ATTRIBUTES = {
    "w_shape": ir.AttributeType.INTS,
    "bits": ir.AttributeType.INT,
    "bucket": ir.AttributeType.INT,
}


def codebook_conv(domain: str, opset: int) -> ir.Function:
    """The body of CodebookConv in standard operators of `opset`; ONNX Runtime is left with its float Conv."""
    body = Body(SIGNATURES["CodebookConv"].names)
    planes = body.transpose("x", "x_perm")
    conv = body.add(
        "Conv", planes, decoded_weights(body), "bias", attributes=body.references(CONV_ATTRIBUTES)
    )
    y = body.transpose(conv, "y_perm")
    return body.function("CodebookConv", domain, opset, y, {**WEIGHT_ATTRIBUTES, **ATTRIBUTES})


def codebook_gemm(domain: str, opset: int) -> ir.Function:
    """The body of CodebookGemm; ONNX Runtime is left with its float MatMul, and fuses the bias where it can."""
    body = Body(SIGNATURES["CodebookGemm"].names)
    turned = body.add(
        "Transpose", decoded_weights(body), attributes=[ir.AttrInt64s("perm", [1, 0])]
    )
    y = body.add("Add", body.add("MatMul", "a", turned), "bias")
    return body.function("CodebookGemm", domain, opset, y, WEIGHT_ATTRIBUTES)


def decoded_weights(body: Body) -> ir.Value:
    """The weights of the shape `w_shape`, of the element type of `codebooks`, from `indices` and `codebooks`.

    All of it depends on constants alone, and ONNX Runtime computes it once when it loads the model.
    """

    def integer(value: int) -> ir.Value:
        return body.add("Constant", attributes=[ir.AttrInt64("value_int", value)])

    def integers(values: list[int]) -> ir.Value:
        return body.add("Constant", attributes=[ir.AttrInt64s("value_ints", values)])

    def attribute(name: str) -> ir.Value:
        kind = WEIGHT_ATTRIBUTES[name]
        key = "value_int" if kind == ir.AttributeType.INT else "value_ints"
        return body.add("Constant", attributes=[ir.RefAttr(key, name, kind)])

    shape, bits, bucket = attribute("w_shape"), attribute("bits"), attribute("bucket")
    # Powers of two are looked up: quicker than Pow, and exact in every runtime.
    powers = integers([1 << bit for bit in range(8)])
    levels = body.add("Gather", powers, bits)
    zero, one, eight = integer(0), integer(1), integer(8)
    count = body.add("ReduceProd", shape, attributes=[ir.AttrInt64("keepdims", 0)])
    positions = body.add("Range", zero, count, one)

    bit = body.add("Mul", positions, bits)
    byte = body.add("Div", bit, eight)
    stream = body.add("Cast", "indices", attributes=[ir.AttrInt64("to", int(ir.DataType.INT64))])
    # An index may reach into the next byte; behind the last one there is a zero.
    stream = body.add("Concat", stream, integers([0]), attributes=AXIS_0)
    low = body.add("Gather", stream, byte)
    high = body.add("Gather", stream, body.add("Add", byte, one))
    window = body.add("Add", low, body.add("Mul", high, integer(256)))
    shifted = body.add("Div", window, body.add("Gather", powers, body.add("Mod", bit, eight)))
    index = body.add("Mod", shifted, levels)

    first = body.add("Mul", body.add("Div", positions, bucket), levels)
    values = body.add("Reshape", "codebooks", integers([-1]))
    return body.add("Reshape", body.add("Gather", values, body.add("Add", first, index)), shape)
