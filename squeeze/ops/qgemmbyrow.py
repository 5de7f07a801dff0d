"""QGemmByRow: a float matrix times int8 weights, each row quantised when it is there, with a scale of its own.

    QGemmByRow(a, b, b_scale, bias) -> y

a: float32 [..., k] of rank 2 to 8; b: int8 [n, k]; b_scale, bias: float32 [n]; y: float32 [..., n]. A row is counted in
127 steps of its largest number (per-token dynamic quantisation; Yao et al., ZeroQuant, 2022), so that ranges that
differ from row to row, or from text to text, cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.ops.body import Body
from squeeze.ops.signatures import SIGNATURES

# As in the kernel: a row is not divided by less than the first.
TINY, STEPS, ZERO_POINT = 1e-30, 127, 128


class Writer(Protocol):
    """What nodes are written with: a body, or a graph."""

    def add(
        self, op_type: str, *inputs: Any, attributes: Sequence[ir.Attr] = ()
    ) -> ir.Value: ...  # Any: names or values

    def constant(self, array: NDArray[Any]) -> ir.Value: ...  # Any: of any element type


def qgemm_by_row(domain: str, opset: int) -> ir.Function:
    """The body of QGemmByRow in standard operators of `opset`; the runtime folds what is computed of constants."""
    body = Body(SIGNATURES["QGemmByRow"].names)
    columns = body.add("Transpose", "b", attributes=[ir.AttrInt64s("perm", [1, 0])])
    y = write(body, body.inputs["a"], columns, body.inputs["b_scale"], body.inputs["bias"], opset)
    return body.function("QGemmByRow", domain, opset, y)


def write(
    to: Writer,
    a: ir.Value,
    columns: ir.Value,
    b_scale: ir.Value,
    bias: ir.Value | None,
    opset: int,
) -> ir.Value:
    """y of a product in standard operators; columns: int8 [k, n]."""

    def number(value: float) -> ir.Value:
        return to.constant(np.float32(value))

    size = to.add("Abs", a)
    if opset < 18:  # axes are an input since then
        largest = to.add("ReduceMax", size, attributes=[ir.AttrInt64s("axes", [-1])])
    else:
        largest = to.add("ReduceMax", size, to.constant(np.array([-1], np.int64)))
    largest = to.add("Max", largest, number(TINY))
    steps = to.add("Round", to.add("Mul", a, to.add("Div", number(STEPS), largest)))
    moved = to.add("Add", steps, number(ZERO_POINT))
    integers = to.add("Cast", moved, attributes=[ir.AttrInt64("to", ir.DataType.UINT8)])
    zero = to.constant(np.array(ZERO_POINT, np.uint8))
    sums = to.add("MatMulInteger", integers, columns, zero)
    real = to.add("Cast", sums, attributes=[ir.AttrInt64("to", ir.DataType.FLOAT)])
    scaled = to.add("Mul", real, b_scale)
    y = to.add("Mul", scaled, to.add("Mul", largest, number(np.float32(1) / np.float32(STEPS))))
    return y if bias is None else to.add("Add", y, bias)
