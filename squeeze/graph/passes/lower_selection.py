"""Finds the parameter-free shortcut of He et al. 2016 (option A) on integers, and makes it a QConv, exactly.

x[:, :, ::s, ::s] with channels of zeros around it is a 1x1 convolution with stride s whose weights are ones where a
channel is kept. On one grid it multiplies by one, so that every integer stays what it is, and it keeps the layout.

Taken: one or two Slice nodes on u8 tensors that take every s-th row and column from the first on, then a Pad of the
       channels with the zero point, then DequantizeLinear.
Left:  Slice that starts or ends elsewhere, tensors in between that others read, padding of space.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.layout import Planned, Unit
from squeeze.graph.passes.fold_pad import pads_per_axis
from squeeze.graph.passes.lower_qconv import DENSE
from squeeze.graph.passes.use_conv import steps
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Grid, Reasons, grid_of
from squeeze.graph.values import is_op, known_dims, only_user, producer


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made; nothing is worth a reason."""
    found = [_match(node) for node in graph if is_op(node, "Pad")]
    return [(plan,) for plan in found if plan is not None], {}


def _match(pad: ir.Node) -> Planned | None:
    source, y = pad.inputs[0], pad.outputs[0]
    grid = _grid(y)
    amounts = pads_per_axis(pad, grid.zero_point) if grid is not None else None
    if grid is None or amounts is None or len(amounts) != 4:
        return None
    if any(any(amounts[axis]) for axis in (0, 2, 3)):
        return None
    strides = [1, 1]
    while (node := producer(source, "Slice")) is not None and only_user(node.outputs[0]):
        taken = steps(node)
        if taken is None:
            return None
        strides = [a * b for a, b in zip(strides, taken, strict=True)]
        source = node.inputs[0]
    dims = known_dims(source, 1)
    (before, after) = amounts[1]
    if source is None or dims is None or min(before, after) < 0 or strides == [1, 1]:
        return None
    channels = dims[0]
    w = np.zeros((before + channels + after, channels, 1, 1), np.int8)
    w[before : before + channels, :, 0, 0] = np.eye(channels, dtype=np.int8)
    inputs = {"x": source} | grid_inputs("x", grid)
    inputs |= {
        "w": w,
        "w_scale": np.ones(len(w), np.float32),
        "bias": np.zeros(len(w), np.int32),
    }
    attributes: dict[str, list[int] | int] = {
        "strides": strides,
        "pads": [0] * 4,
        "dilations": [1, 1],
        "group": 1,
    }
    name = pad.name or f"{y.name}_selection"
    inputs |= grid_inputs("y", grid)
    return Planned(DENSE, "QConv", name, pad, y, inputs, attributes, free="x")


def _grid(value: ir.Value) -> Grid | None:
    """What the integers of `value` mean to all that dequantise it, u8."""
    grids = {grid_of(user) if is_op(user, "DequantizeLinear") else None for user, _ in value.uses()}
    grid = grids.pop() if len(grids) == 1 else None
    return grid if grid is not None and grid.dtype == "uint8" else None
