"""Multiplying and shifting the outputs of a linear operator by changing its constant weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, constant, integer, is_op, real

LINEAR = ("Conv", "ConvTranspose", "Gemm")


def output_channels(node: ir.Node) -> int | None:
    """How many channels a linear operator with constant weights and a constant bias (or none) has; else None."""
    if not is_op(node, *LINEAR) or len(node.inputs) < 2:
        return None
    weights = constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if weights is None or (bias is not None and constant(bias) is None):
        return None
    if is_op(node, "Conv"):
        return int(weights.shape[0])
    if is_op(node, "ConvTranspose"):
        return int(weights.shape[1]) * integer(node, "group", 1)
    channels = int(weights.shape[0 if integer(node, "transB", 0) else 1])
    contents = constant(bias)
    if contents is not None and (contents.size not in (1, channels) or contents.ndim > 2):
        return None  # a bias that varies with the row
    if contents is not None and contents.size == channels and contents.shape[-1:] != (channels,):
        return None
    return channels


def scale_output(
    graph: ir.Graph, node: ir.Node, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> None:
    """Makes `node` give scale * y + shift; both [output_channels(node)]. Shared weights are copied, not changed."""
    weights = constant(node.inputs[1])
    if weights is None:
        raise ValueError(f"{node.op_type} has no constant weights")
    wide = weights.astype(np.float64)
    old_bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(1) if old_bias is None else old_bias.astype(np.float64).reshape(-1)
    if is_op(node, "Gemm"):
        wide *= real(node, "alpha", 1.0)
        bias = bias * real(node, "beta", 1.0)
        for name in ("alpha", "beta"):
            node.attributes.pop(name, None)
        wide *= scale[:, None] if integer(node, "transB", 0) else scale
    elif is_op(node, "Conv"):
        wide *= scale.reshape(-1, *[1] * (wide.ndim - 1))
    else:  # ConvTranspose: [i, o / group, ...], the groups one after another along i
        group = integer(node, "group", 1)
        split = wide.reshape(group, -1, *wide.shape[1:])
        split *= scale.reshape(group, 1, -1, *[1] * (wide.ndim - 2))
        wide = split.reshape(weights.shape)
    shifted = bias * scale + shift
    name = str(node.inputs[1].name if node.inputs[1] is not None else node.name)
    new_weights = add_constant(graph, f"{name}_folded", wide.astype(weights.dtype))
    new_bias = add_constant(graph, f"{name}_folded_bias", shifted.astype(weights.dtype))
    node.resize_inputs(3)
    node.replace_input_with(1, new_weights)
    node.replace_input_with(2, new_bias)
