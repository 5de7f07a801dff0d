"""QAddNorm: the sum of two float tensors and a bias, normalised over its last dimension, quantised.

    QAddNorm(a, b, bias, norm_scale, norm_shift, y_scale, y_zero_point) -> y, norm
    QAddNormSum(a, b, bias, norm_scale, norm_shift, y_scale, y_zero_point) -> y, sum
    QAddNormScaled(a, b, bias, norm_scale, norm_shift, y_scale, y_zero_point, norm_factor) -> y, norm * norm_factor
    QAddRmsNormSum(a, b, bias, norm_scale, y_scale, y_zero_point) -> y, sum; not centred: sum / its root mean square

a, b: float32, of one rank from 1 to 8, sizes but the last are equal or 1; bias, norm_scale, norm_shift, norm_factor:
float32 [n], for the last dimension; y: uint8 or int8; norm: y before it is quantised. Attribute: epsilon.

norm_factor takes back what SmoothQuant (Xiao et al. 2023) put into norm_scale and norm_shift for the sake of y.
Networks with root mean squares (Zhang and Sennrich 2019) add to the sum, so that nobody else reads what was normalised.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.signatures import SIGNATURES

ATTRIBUTES = {"epsilon": ir.AttributeType.FLOAT}


def qadd_norm(domain: str, opset: int) -> ir.Function:
    """The body of QAddNorm in standard operators of `opset`, below 17 in parts that the runtime fuses."""
    return _body("QAddNorm", domain, opset)


def qadd_norm_sum(domain: str, opset: int) -> ir.Function:
    """The same for QAddNormSum."""
    return _body("QAddNormSum", domain, opset)


def qadd_norm_scaled(domain: str, opset: int) -> ir.Function:
    """The same for QAddNormScaled."""
    return _body("QAddNormScaled", domain, opset)


def qadd_rms_norm_sum(domain: str, opset: int) -> ir.Function:
    """The same for QAddRmsNormSum, as the runtime fuses it."""
    body = Body(SIGNATURES["QAddRmsNormSum"].names)
    total = body.add("Add", "a", body.add("Add", "b", "bias"))
    norm = _by_root(body, total, opset)
    y = body.quantise(norm, "y")
    return body.function("QAddRmsNormSum", domain, opset, y, ATTRIBUTES, further={"sum": total})


def _body(name: str, domain: str, opset: int) -> ir.Function:
    body = Body(SIGNATURES[name].names)
    total = body.add("Add", "a", body.add("Add", "b", "bias"))
    norm = _layer_norm(body, total, opset)
    y = body.quantise(norm, "y")
    scaled = body.add("Mul", norm, "norm_factor") if "norm_factor" in body.inputs else norm
    stream = {"norm": scaled, "sum": total}
    further = {output: stream[output] for output in SIGNATURES[name].outputs[1:]}
    return body.function(name, domain, opset, y, ATTRIBUTES, further=further)


def _layer_norm(body: Body, total: ir.Value, opset: int) -> ir.Value:
    if opset < 17:
        centred = body.add("Sub", total, _mean(body, total, opset))
        return body.add("Add", _by_root(body, centred, opset), "norm_shift")
    attributes = [ir.AttrInt64("axis", -1), *body.references(ATTRIBUTES)]
    return body.add("LayerNormalization", total, "norm_scale", "norm_shift", attributes=attributes)


def _by_root(body: Body, x: ir.Value, opset: int) -> ir.Value:
    """x over its root mean square, times norm_scale."""
    square = body.add("Pow", x, body.constant(np.float32(2)))
    epsilon = ir.RefAttr("value_float", "epsilon", ir.AttributeType.FLOAT)
    safe = body.add("Add", _mean(body, square, opset), body.add("Constant", attributes=[epsilon]))
    return body.add("Mul", body.add("Div", x, body.add("Sqrt", safe)), "norm_scale")


def _mean(body: Body, x: ir.Value, opset: int) -> ir.Value:
    """Over the last axis. Axes are an input since opset 18."""
    if opset < 18:
        return body.add("ReduceMean", x, attributes=[ir.AttrInt64s("axes", [-1])])
    return body.add("ReduceMean", x, body.constant(np.array([-1], np.int64)))
