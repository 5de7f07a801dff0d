"""CodebookConv and CodebookGemm: float32 layers whose weights are indices of 2 to 4 bits into small codebooks.

    CodebookConv(x, indices, codebooks, bias) -> y      x, y: float32 images; bias: float32 [o]
    CodebookGemm(a, indices, codebooks, bias) -> y      a: float32 [..., k]; bias: float32 [n]; y: [..., n]

indices: uint8, the stream of bits of `squeeze.ops.packing`; codebooks: float32 [books, 2^bits]. Weight j, counted in
row-major order of w_shape ([o, i / group, kh, kw] or [n, k]), takes its value from book j // bucket. A bucket of
i / group * kh * kw, or of k, means one book for each output channel.

strides, pads, dilations, group mean what they mean in Conv; x_perm and y_perm are those of QConv.
"""

from __future__ import annotations

from typing import Protocol

import onnx_ir as ir

WEIGHT_INPUTS = ("indices", "codebooks")
WEIGHT_ATTRIBUTES = {
    "w_shape": ir.AttributeType.INTS,
    "bits": ir.AttributeType.INT,
    "bucket": ir.AttributeType.INT,
}


class _Add(Protocol):
    """Puts one node into a function body; inputs of the function are given by name."""

    def __call__(
        self, op_type: str, *inputs: ir.Value | str, attributes: tuple[ir.Attr, ...] = ()
    ) -> ir.Value: ...


def decoded_weights(add: _Add) -> ir.Value:
    """The weights of the shape `w_shape`, of the element type of `codebooks`, from `indices` and `codebooks`.

    All of it depends on constants alone, and ONNX Runtime computes it once when it loads the model.
    """

    def constant(value: int) -> ir.Value:
        return add("Constant", attributes=(ir.AttrInt64("value_int", value),))

    def attribute(name: str) -> ir.Value:
        kind = WEIGHT_ATTRIBUTES[name]
        key = "value_int" if kind == ir.AttributeType.INT else "value_ints"
        return add("Constant", attributes=(ir.RefAttr(key, name, kind),))

    def integers(values: list[int]) -> ir.Value:
        return add("Constant", attributes=(ir.AttrInt64s("value_ints", values),))

    shape, bits, bucket = attribute("w_shape"), attribute("bits"), attribute("bucket")
    # Powers of two are looked up: quicker than Pow, and exact in every runtime.
    powers = integers([1 << bit for bit in range(8)])
    levels = add("Gather", powers, bits)
    zero, one, eight = constant(0), constant(1), constant(8)
    count = add("ReduceProd", shape, attributes=(ir.AttrInt64("keepdims", 0),))
    positions = add("Range", zero, count, one)

    bit = add("Mul", positions, bits)
    byte = add("Div", bit, eight)
    to_int64 = (ir.AttrInt64("to", ir.DataType.INT64),)
    stream = add("Cast", "indices", attributes=to_int64)
    # An index may reach into the next byte; behind the last one there is a zero.
    stream = add("Concat", stream, integers([0]), attributes=(ir.AttrInt64("axis", 0),))
    low = add("Gather", stream, byte)
    high = add("Gather", stream, add("Add", byte, one))
    window = add("Add", low, add("Mul", high, constant(256)))
    shifted = add("Div", window, add("Gather", powers, add("Mod", bit, eight)))
    index = add("Mod", shifted, levels)

    first = add("Mul", add("Div", positions, bucket), levels)
    values = add("Reshape", "codebooks", integers([-1]))
    return add("Reshape", add("Gather", values, add("Add", first, index)), shape)
