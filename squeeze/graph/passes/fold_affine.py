"""Folds arithmetic with constants behind a linear operator into its weights and bias.

Cases: Mul, Div (by the constant), Add, Sub with a constant that is one number, or one per channel, behind Conv,
       ConvTranspose or Gemm whose output nobody else reads. TensorFlow exporters write bias and BatchNormalization so.
       HardSigmoid behind the same becomes Clip(0, 1), its slope and offset folded.
Left:  constants that vary over space or change the shape, a constant divided by the output.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.linear import output_channels, scale_output
from squeeze.graph.values import add_constant, constant, is_op, only_user, rank, real, replace

Affine = tuple[NDArray[np.float64], NDArray[np.float64]]


def fold_affine(model: ir.Model) -> bool:
    """True when a node was folded."""
    graph = model.graph
    changed = [_fold(graph, n) for n in tuple(graph) if is_op(n, "Add", "Div", "Mul", "Sub")]
    changed += [_fold_hard_sigmoid(graph, n) for n in tuple(graph) if is_op(n, "HardSigmoid")]
    return any(changed)


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    for index, source in enumerate(node.inputs[:2]):
        before = source.producer() if source is not None else None
        if source is None or before is None or only_user(source) is not node:
            continue
        channels = output_channels(before)
        dims = rank(source)
        if channels is None or dims is None:
            continue
        other = _per_channel(constant(node.inputs[1 - index]), channels, dims)
        affine = None if other is None else _affine(node.op_type, other, first=index == 0)
        if affine is not None:
            scale_output(graph, before, *affine)
            replace(node.outputs[0], source)
            graph.remove(node, safe=True)
            return True
    return False


def _fold_hard_sigmoid(graph: ir.Graph, node: ir.Node) -> bool:
    source = node.inputs[0]
    before = source.producer() if source is not None else None
    channels = output_channels(before) if before is not None else None
    if source is None or before is None or channels is None or only_user(source) is not node:
        return False
    if source.dtype != ir.DataType.FLOAT:
        return False
    slope, offset = real(node, "alpha", 0.2), real(node, "beta", 0.5)
    scale_output(graph, before, np.full(channels, slope), np.full(channels, offset))
    limits = [
        add_constant(graph, f"{node.outputs[0].name}_{name}", np.asarray(value, np.float32))
        for name, value in (("least", 0.0), ("most", 1.0))
    ]
    clip = ir.Node("", "Clip", [source, *limits], name=node.name)
    old, new = node.outputs[0], clip.outputs[0]
    new.name, new.type, new.shape = f"{old.name}_clip", old.type, old.shape
    graph.insert_before(node, clip)
    replace(old, new)
    graph.remove(node, safe=True)
    return True


def _affine(op_type: str, c: NDArray[np.float64], *, first: bool) -> Affine | None:
    """(scale, shift) of y op c, or of c op y when the output is not the first operand."""
    ones, zeros = np.ones_like(c), np.zeros_like(c)
    if op_type == "Add":
        return ones, c
    if op_type == "Mul":
        return c, zeros
    if op_type == "Sub":
        return (ones, -c) if first else (-ones, c)
    return (1 / c, zeros) if first and c.all() else None


def _per_channel(
    value: NDArray[np.generic] | None, channels: int, dims: int
) -> NDArray[np.float64] | None:
    """The constant as [channels] when it broadcasts to [n, channels, ...] and varies with the channel alone."""
    if value is None or value.ndim > dims or value.dtype != np.float32:
        return None
    shape: list[int] = [1] * (dims - value.ndim) + list(value.shape)
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1):
        return None
    if shape[1] not in (1, channels):
        return None
    return np.array(np.broadcast_to(value.reshape(-1), (channels,)), np.float64)
