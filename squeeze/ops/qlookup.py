"""QLookup: a function of each number of an 8-bit tensor, as a table of its 256 bytes.

    QLookup(x, x_scale, x_zero_point, table, y_scale, y_zero_point) -> y
    QLookup2 to QLookup8: the same; a file has one of these names for each function

x, y: both uint8 or both int8, of rank 0 to 8; table: 256 values of that type, which y takes at the byte of x. It is the
function, which is what the body computes.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.formula import Formula
from squeeze.ops.signatures import SIGNATURES


def qlookup(name: str, domain: str, opset: int, formula: Formula) -> ir.Function:
    """The body of the QLookup called `name`, in standard operators of `opset`."""
    body = Body(SIGNATURES[name].names)
    y = formula.write(body, body.inputs["x"], "x")
    return body.function(name, domain, opset, y, words=formula.words)
