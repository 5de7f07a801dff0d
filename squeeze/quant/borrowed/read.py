"""What a Q/DQ graph of another quantiser says: the range behind each quantiser of an activation, and biases.

Tensors are told by their names, which other quantisers keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import constant, is_op
from squeeze.quant.place import WEIGHTED

ENDS = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass(frozen=True)
class Borrowed:
    """ranges: name of an activation -> (low, high). biases: first output of a node with weights -> its bias [o]."""

    ranges: dict[str, tuple[float, float]]
    biases: dict[str, NDArray[np.float64]]


def read_borrowed(quantised: ir.Graph) -> Borrowed:
    """What the nodes of the graph itself say, not those in bodies. Of two quantisers of one tensor the wider counts."""
    ranges: dict[str, tuple[float, float]] = {}
    biases: dict[str, NDArray[np.float64]] = {}
    for node in quantised:
        if is_op(node, "QuantizeLinear") and (value := node.inputs[0]) is not None:
            if value.const_value is None and (found := _range(node)) is not None:
                low, high = ranges.get(str(value.name), found)
                ranges[str(value.name)] = (min(low, found[0]), max(high, found[1]))
        elif is_op(node, *WEIGHTED) and len(node.inputs) > 2:
            bias = constant(node.inputs[2])
            if bias is not None and np.isfinite(bias).all():
                biases[str(node.outputs[0].name)] = bias.astype(np.float64).reshape(-1)
    return Borrowed(ranges, biases)


def _range(node: ir.Node) -> tuple[float, float] | None:
    """The ends of the grid of a quantiser; None where there is more than one grid, or not one of 8 bits."""
    scale, zero_point = [*map(constant, node.inputs[1:3]), None, None][:2]
    if scale is None or zero_point is None or scale.size != 1 or zero_point.size != 1:
        return None
    ends = ENDS.get(zero_point.dtype.name)
    if ends is None:
        return None
    step, zero = float(scale.item()), int(zero_point.item())
    low, high = (step * (end - zero) for end in ends)
    return (low, high) if np.isfinite([low, high]).all() else None
