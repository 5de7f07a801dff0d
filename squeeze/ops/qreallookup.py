"""QRealLookup: a function of float numbers, such as Gelu behind a matrix product, quantised; it is a table.

    QRealLookup(x, bias, x_grid, table, y_scale, y_zero_point) -> y
    QRealLookup2 to QRealLookup8: the same; a file has one of these names for each function

x: float32 [..., n], rank 1 to 8; bias: float32 [n], added to x first, 0 where the formula is not `biased`; table: what
y is at x_grid[0], x_grid[0] + x_grid[1], and so on, 2 to 65536 entries of the type of y, uint8 or int8; beyond its ends
y is as at the ends. The table is the function, which is what the body computes.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.ops.body import Body
from squeeze.ops.formula import Formula
from squeeze.ops.signatures import SIGNATURES


def qreal_lookup(name: str, domain: str, opset: int, formula: Formula) -> ir.Function:
    """The body of the QRealLookup called `name`, in standard operators of `opset`."""
    body = Body(SIGNATURES[name].names)
    # Without a bias there is no addition of zeros either: the runtime would make Gemm in float of it.
    x = body.add("Add", "x", "bias") if formula.biased else body.inputs["x"]
    real = formula.results(body, x)[-1]
    return body.function(name, domain, opset, body.quantise(real, "y"), words=formula.words)
