"""QCodebookConv, QCodebookGemm and relatives: int8 layers whose weights are indices into codebooks of int8 levels.

    QCodebookConv(x, x_scale, x_zero_point, indices, codebooks, w_scale, bias, y_scale, y_zero_point) -> y
    QCodebookConvAdd(x, x_scale, x_zero_point, indices, codebooks, w_scale, bias, conv_scale, conv_zero_point,
                     residual, residual_scale, residual_zero_point, y_scale, y_zero_point) -> y
    QCodebookGemm(a, a_scale, a_zero_point, indices, codebooks, w_scale, bias, y_scale, y_zero_point) -> y
    QCodebookGemmReal(a, a_scale, a_zero_point, indices, codebooks, w_scale, bias) -> y

They are QConv, QConvAdd, QGemm and QGemmReal but for the weights: `indices` and the attributes w_shape, bits and bucket
are those of CodebookConv and CodebookGemm; codebooks: int8 [books, 2^bits]. A level times w_scale [o] is the weight.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.codebook import WEIGHT_ATTRIBUTES, decoded_weights
from squeeze.ops.qconv import ATTRIBUTES, add_residual, convolution
from squeeze.ops.qgemm import product
from squeeze.ops.signatures import SIGNATURES

CODED_CONV_ATTRIBUTES = {**WEIGHT_ATTRIBUTES, **ATTRIBUTES}


def qcodebook_conv(domain: str, opset: int) -> ir.Function:
    """The body of QCodebookConv in standard operators of `opset`; ONNX Runtime decodes, and fuses to QLinearConv."""
    body = Body(SIGNATURES["QCodebookConv"].names)
    conv = body.quantise(convolution(body, decoded_weights(body)), "y")
    y = body.transpose(conv, "y_perm")
    return body.function("QCodebookConv", domain, opset, y, CODED_CONV_ATTRIBUTES)


def qcodebook_conv_add(domain: str, opset: int) -> ir.Function:
    """The body of QCodebookConvAdd; ONNX Runtime decodes, and fuses to QLinearConv and QLinearAdd."""
    body = Body(SIGNATURES["QCodebookConvAdd"].names)
    conv = body.quantise(convolution(body, decoded_weights(body)), "conv")
    y = add_residual(body, body.transpose(conv, "y_perm"), "conv")
    return body.function("QCodebookConvAdd", domain, opset, y, CODED_CONV_ATTRIBUTES)


def qcodebook_gemm(domain: str, opset: int) -> ir.Function:
    """The body of QCodebookGemm; ONNX Runtime decodes, and fuses to its own QGemm."""
    body = Body(SIGNATURES["QCodebookGemm"].names)
    y = product(body, "y", decoded_weights(body), "w_scale")
    return body.function("QCodebookGemm", domain, opset, y, WEIGHT_ATTRIBUTES)


def qcodebook_gemm_real(domain: str, opset: int) -> ir.Function:
    """The body of QCodebookGemmReal; ONNX Runtime decodes, and fuses to its own QGemm."""
    body = Body(SIGNATURES["QCodebookGemmReal"].names)
    y = product(body, None, decoded_weights(body), "w_scale")
    return body.function("QCodebookGemmReal", domain, opset, y, WEIGHT_ATTRIBUTES)
