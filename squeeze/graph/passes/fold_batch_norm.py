"""Folds BatchNormalization into the linear operator before it (Jacob et al. 2018, section 3.2).

    gamma * (y - mean) / sqrt(variance + epsilon) + beta  =  scale * y + shift

Cases: Conv (any rank, grouped, depthwise, any padding), ConvTranspose (grouped), Gemm; with or without bias; a
       BatchNormalization with no such operator before it becomes a depthwise Conv of width 1, which can be quantised.
Left:  training mode; statistics that are not constant; a linear output that others read too (it then becomes the
       depthwise Conv); inputs of rank 2 behind anything but Gemm.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.linear import output_channels, scale_output
from squeeze.graph.values import (
    add_constant,
    constant,
    integer,
    is_op,
    only_user,
    rank,
    real,
    replace,
)


def fold_batch_norm(model: ir.Model) -> bool:
    """True when a BatchNormalization disappeared."""
    nodes = [n for n in tuple(model.graph) if is_op(n, "BatchNormalization")]
    return any([_fold(model.graph, node) for node in nodes])


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    affine = _scale_and_shift(node)
    source = node.inputs[0]
    if affine is None or source is None:
        return False
    scale, shift = affine
    before = source.producer()
    if before is not None and only_user(source) is node and output_channels(before) == len(scale):
        scale_output(graph, before, scale, shift)
        replace(node.outputs[0], source)
        graph.remove(node, safe=True)
        return True
    return _to_depthwise(graph, node, scale, shift)


def _to_depthwise(
    graph: ir.Graph, node: ir.Node, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> bool:
    dims = rank(node.inputs[0])
    if dims not in (3, 4):
        return False
    name, channels = node.outputs[0].name, len(scale)
    weights = scale.astype(np.float32).reshape(channels, *[1] * (dims - 1))
    inputs = [
        node.inputs[0],
        add_constant(graph, f"{name}_scale", weights),
        add_constant(graph, f"{name}_shift", shift.astype(np.float32)),
    ]
    attributes = [
        ir.AttrInt64("group", channels),
        ir.AttrInt64s("kernel_shape", [1] * (dims - 2)),
    ]
    conv = ir.Node("", "Conv", inputs, attributes, name=node.name)
    old = node.outputs[0]
    conv.outputs[0].name, conv.outputs[0].type = f"{name}_conv", old.type
    conv.outputs[0].shape = old.shape
    graph.insert_before(node, conv)
    replace(old, conv.outputs[0])
    graph.remove(node, safe=True)
    return True


def _scale_and_shift(
    node: ir.Node,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if integer(node, "training_mode", 0) or len(node.inputs) != 5:
        return None
    if any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return None
    parts = [constant(value) for value in node.inputs[1:]]
    if any(p is None or p.dtype != np.float32 for p in parts):
        return None
    gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parts)
    scale = gamma / np.sqrt(variance + real(node, "epsilon", 1e-5))
    return scale, beta - mean * scale
