"""QConcat: two 8-bit tensors side by side along `axis`, each requantised to the scale of y.

    QConcat(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point) -> y

a, b, y: all uint8 or all int8, of rank 1 to 8, with equal shapes but for `axis`.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.signatures import SIGNATURES

ATTRIBUTES = {"axis": ir.AttributeType.INT}


def qconcat(domain: str, opset: int) -> ir.Function:
    """The body of QConcat in standard operators of `opset`; ONNX Runtime fuses it to QLinearConcat."""
    body = Body(SIGNATURES["QConcat"].names)
    parts = (body.dequantise("a", "a"), body.dequantise("b", "b"))
    joined = body.add("Concat", *parts, attributes=body.references(ATTRIBUTES))
    return body.function("QConcat", domain, opset, body.quantise(joined, "y"), ATTRIBUTES)
