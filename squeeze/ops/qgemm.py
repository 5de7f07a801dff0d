"""QGemm, QGemmAdd, QGemmLookup, QGemmReal: int8 matrix product, requantisation, and what follows, in one node.

    QGemm(a, a_scale, a_zero_point, b, b_scale, bias, y_scale, y_zero_point) -> y
    QGemmAdd(a, a_scale, a_zero_point, b, b_scale, bias, gemm_scale, gemm_zero_point,
             residual, residual_scale, residual_zero_point, y_scale, y_zero_point) -> y
    QGemmLookup(a, a_scale, a_zero_point, b, b_scale, bias, gemm_scale, gemm_zero_point,
                table, y_scale, y_zero_point) -> y
    QGemmLookup2 to QGemmLookup8: as QGemmLookup; a file has one of these names for each function
    QGemmReal(a, a_scale, a_zero_point, b, b_scale, bias) -> y, float32, not rounded

a: uint8 or int8 [..., k] of rank 1 to 8; b: int8 [n, k]; b_scale: float32 [n]; bias: int32 [n] in steps of
a_scale * b_scale; y, residual: uint8 or int8 [..., n]; table: 256 values of the type of y, which y takes at the byte of
the rounded product: the function, which is what the body computes. gemm, residual and y share one type.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.ops.body import AXIS_0, Body
from squeeze.ops.formula import Formula
from squeeze.ops.qconv import add_residual
from squeeze.ops.signatures import SIGNATURES


def qgemm(domain: str, opset: int) -> ir.Function:
    """The body of QGemm in standard operators of `opset`; ONNX Runtime fuses it to its own QGemm."""
    body = Body(SIGNATURES["QGemm"].names)
    return body.function("QGemm", domain, opset, product(body, "y"))


def qgemm_real(domain: str, opset: int) -> ir.Function:
    """The body of QGemmReal; ONNX Runtime fuses it to its own QGemm, which may give float numbers too."""
    body = Body(SIGNATURES["QGemmReal"].names)
    return body.function("QGemmReal", domain, opset, product(body, None))


def qgemm_add(domain: str, opset: int) -> ir.Function:
    """The body of QGemmAdd; ONNX Runtime fuses it to its QGemm and QLinearAdd."""
    body = Body(SIGNATURES["QGemmAdd"].names)
    y = add_residual(body, product(body, "gemm"), "gemm")
    return body.function("QGemmAdd", domain, opset, y)


def qgemm_lookup(name: str, domain: str, opset: int, formula: Formula) -> ir.Function:
    """The body of the QGemmLookup called `name`; ONNX Runtime fuses it to its QGemm and what it has for `formula`."""
    body = Body(SIGNATURES[name].names)
    y = formula.write(body, product(body, "gemm"), "gemm")
    return body.function(name, domain, opset, y, words=formula.words)


def product(
    body: Body, tensor: str | None, b: ir.Value | str = "b", b_scale: str = "b_scale"
) -> ir.Value:
    """a times the int8 `b`, transposed, plus bias, with the leading shape of a; quantised by the scale of `tensor`.

    Gemm knows rank 2 alone, so the 8-bit tensors are flattened and reshaped, which copies nothing. The stock runtime
    fuses no Gemm whose weights have no zero point, nor one from u8 to s8 or back.
    """
    rows = body.dequantise(body.add("Flatten", "a", attributes=[ir.AttrInt64("axis", -1)]), "a")
    outputs = body.add("Shape", b_scale)
    zero = [ir.AttrTensor("value", ir.tensor(np.zeros(1, np.int8)))]
    zero_points = body.add("ConstantOfShape", outputs, attributes=zero)
    weights = body.add("DequantizeLinear", b, b_scale, zero_points, attributes=AXIS_0)
    bias_scale = body.add("Mul", "a_scale", b_scale)
    bias = body.add("DequantizeLinear", "bias", bias_scale, attributes=AXIS_0)
    gemm = body.add("Gemm", rows, weights, bias, attributes=[ir.AttrInt64("transB", 1)])
    made = gemm if tensor is None else body.quantise(gemm, tensor)
    first, last = (body.constant(np.array([i], np.int64)) for i in (0, -1))
    leading = body.add("Slice", body.add("Shape", "a"), first, last)
    return body.add("Reshape", made, body.add("Concat", leading, outputs, attributes=AXIS_0))
