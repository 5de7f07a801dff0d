"""Finds elementwise functions of float results of matrix products, quantised behind them, which QRealLookup computes.

Taken: MatMul or Gemm that gives float numbers -> perhaps Add of a constant to each row -> any function of that one
       tensor, but for Relu and Clip alone, which the quantiser does -> QuantizeLinear (u8).
Left:  values inside that somebody else reads, a function that no table of ENTRIES follows within a step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph import functions
from squeeze.graph.formulas import Bytes, applied, exact
from squeeze.graph.functions import Function
from squeeze.graph.layout import Planned, Unit
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Array, Reasons, Refused
from squeeze.graph.values import constant, is_op, known_dims, only_user, rank

FAMILY = "QRealLookup"
ENTRIES = 16384
# Where a function is looked at for the range in which it changes.
_MAGNITUDES = np.logspace(-4, 6, 4001)
_SAMPLES = 1 << 16


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other functions behind float products are left alone."""
    found: list[Unit] = []
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "MatMul", "Gemm") and node.outputs[0].dtype == ir.DataType.FLOAT:
            try:
                if (plan := _match(node.outputs[0])) is not None:
                    found.append((plan,))
            except Refused as why:
                refused[node] = str(why)
    return found, refused


def _match(x: ir.Value) -> Planned | None:
    width = next(iter(known_dims(x, -1) or ()), None) if rank(x) else None
    start, bias = _with_bias(x, width)
    candidates = functions.find(start)
    if not candidates or candidates[0].is_clip:
        return None
    if width is None:
        raise Refused("the width of its result is not known")
    function = candidates[0]
    table, grid = _table(function)
    y = function.end.outputs[0]
    inputs: dict[str, ir.Value | Array] = {"x": x, "x_grid": grid, "table": table}
    inputs["bias"] = np.zeros(width, np.float32) if bias is None else bias
    return Planned(
        FAMILY,
        FAMILY,
        f"{y.name}_lookup",
        function.end,
        y,
        inputs | grid_inputs("y", function.grid),
        formula=replace(exact(function), biased=bias is not None),
    )


def _with_bias(x: ir.Value, width: int | None) -> tuple[ir.Value, NDArray[np.float32] | None]:
    """Where the function begins, and what is added to each row of `x` before, or None."""
    add = only_user(x)
    if add is not None and is_op(add, "Add"):
        row = constant(add.inputs[1] if add.inputs[0] is x else add.inputs[0])
        if row is not None and row.shape == (width,) and row.dtype == np.float32:
            return add.outputs[0], np.asarray(row, np.float32)
    return x, None


def _table(function: Function) -> tuple[Bytes, NDArray[np.float32]]:
    """y at ENTRIES places of the range in which it changes; the first place and the step. Raises Refused."""
    at = np.concatenate([-_MAGNITUDES[::-1], [0.0], _MAGNITUDES]).astype(np.float32)
    codes = applied(function, at)
    changes = np.flatnonzero(np.diff(codes.astype(np.int64)))
    if not changes.size:
        raise Refused(f"{function.words} behind it is the same for all numbers")
    low, high = float(at[changes[0]]), float(at[changes[-1] + 1])
    step = np.float32((high - low) / (ENTRIES - 1))
    grid = np.array([low, step], np.float32)
    places = (np.arange(ENTRIES, dtype=np.float32) * step + grid[0]).astype(np.float32)
    table = applied(function, places)
    fine = np.linspace(2 * low - high, 2 * high - low, _SAMPLES).astype(np.float32)
    place = np.clip(np.rint((fine - grid[0]) / step), 0, ENTRIES - 1).astype(np.int64)
    away = np.abs(table[place].astype(np.int64) - applied(function, fine))
    if away.max() > 1:
        raise Refused(f"{function.words} behind it changes by more than a step between two places")
    return table, grid
