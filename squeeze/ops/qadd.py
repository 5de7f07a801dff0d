"""QAdd: the sum of two 8-bit tensors of equal shape, requantised.

    QAdd(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point) -> y

a, b, y: all uint8 or all int8, of rank 0 to 8.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.signatures import SIGNATURES


def qadd(domain: str, opset: int) -> ir.Function:
    """The body of QAdd in standard operators of `opset`; ONNX Runtime fuses it to QLinearAdd."""
    body = Body(SIGNATURES["QAdd"].names)
    total = body.add("Add", body.dequantise("a", "a"), body.dequantise("b", "b"))
    return body.function("QAdd", domain, opset, body.quantise(total, "y"))
