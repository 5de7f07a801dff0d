"""Moves a scale per channel, which nncf gives the input of a depthwise convolution, into the weights on both sides.

Cases: Conv -> [Relu] -> QuantizeLinear -> DequantizeLinear -> depthwise Conv with a scale per channel and one zero
       point. Each output channel of the first convolution is multiplied by (common scale / its scale), each channel
       of the second divided by it; weights and int32 biases stay the integers they were. Equal up to float32
       rounding.
Left:  anything but Relu in between, other readers, zero points that differ, a first convolution whose weights are not
       dequantised constants, an input of the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.qdq import are_scales
from squeeze.graph.values import (
    add_constant,
    constant,
    integer,
    is_op,
    known_dims,
    only_user,
    producer,
)

# Scales of channels that are further apart than the integers of float32 are no measure of each other.
MOST_APART = 2.0**24


def channel_scales(model: ir.Model) -> int:
    """How many activations got one scale."""
    return sum(_move(model.graph, n) for n in tuple(model.graph) if is_op(n, "QuantizeLinear"))


def _move(graph: ir.Graph, quantise: ir.Node) -> bool:
    scale, zero_point = constant(quantise.inputs[1]), _zero_point(quantise)
    if scale is None or scale.size == 1 or zero_point is None or len(np.unique(zero_point)) != 1:
        return False
    if not are_scales(scale) or float(scale.max()) > MOST_APART * float(scale.min()):
        return False
    dequantise = only_user(quantise.outputs[0])
    first, second = _before(quantise), None
    if dequantise is not None and is_op(dequantise, "DequantizeLinear"):
        second = only_user(dequantise.outputs[0])
    if dequantise is None or first is None or second is None or not is_op(second, "Conv"):
        return False
    theirs, their_zero = constant(dequantise.inputs[1]), _zero_point(dequantise)
    same = theirs is not None and their_zero is not None and np.array_equal(scale, theirs)
    if not same or their_zero is None or not np.array_equal(zero_point, their_zero):
        return False
    if any(integer(n, "axis", 1) != 1 for n in (quantise, dequantise)):
        return False
    count = scale.size
    if second.inputs[0] is not dequantise.outputs[0] or integer(second, "group", 1) != count:
        return False
    outputs = (known_dims(second.inputs[1]) or [0])[0]
    if outputs % count or (known_dims(first.inputs[1]) or [0])[0] != count:
        return False
    common = np.float32(scale.max())
    up = (common / scale).astype(np.float32)
    down = np.repeat(scale / common, outputs // count).astype(np.float32)
    if not (_scalable(first, with_bias=True) and _scalable(second, with_bias=False)):
        return False
    _scale_weights(graph, first, 1, up)
    _scale_weights(graph, second, 1, down)
    if len(first.inputs) > 2 and first.inputs[2] is not None:
        if (given := constant(first.inputs[2])) is not None:
            value = add_constant(graph, f"{first.inputs[2].name}_one_scale", given * up)
            first.replace_input_with(2, value)
        else:
            _scale_weights(graph, first, 2, up)
    one = add_constant(graph, f"{quantise.outputs[0].name}_one_scale", np.asarray(common))
    zero = add_constant(
        graph, f"{quantise.outputs[0].name}_one_zero_point", np.asarray(zero_point.reshape(-1)[0])
    )
    for node in (quantise, dequantise):
        node.replace_input_with(1, one)
        node.replace_input_with(2, zero)
        node.attributes.pop("axis", None)
    return True


def _zero_point(node: ir.Node) -> NDArray[Any] | None:
    return constant(node.inputs[2]) if len(node.inputs) > 2 else None


def _before(quantise: ir.Node) -> ir.Node | None:
    """The Conv whose result, through a Relu, is read by this quantiser alone."""
    value = quantise.inputs[0]
    relu = producer(value, "Relu")
    if relu is not None:
        if only_user(relu.outputs[0]) is not quantise:
            return None
        value = relu.inputs[0]
    conv = producer(value, "Conv")
    reader = relu if relu is not None else quantise
    return conv if conv is not None and only_user(conv.outputs[0]) is reader else None


def _scalable(conv: ir.Node, *, with_bias: bool) -> bool:
    """Whether weights, and the bias where there is one, are constants that nobody else reads."""
    indices = [1] + ([2] if with_bias and len(conv.inputs) > 2 and conv.inputs[2] else [])
    for index in indices:
        value = conv.inputs[index]
        if index == 2 and constant(value) is not None:
            continue
        node = producer(value, "DequantizeLinear")
        if value is None or node is None or only_user(value) is not conv:
            return False
        scale, stored = constant(node.inputs[1]), known_dims(node.inputs[0])
        if scale is None or not stored or not are_scales(scale * np.float64(MOST_APART)):
            return False
        if scale.size > 1 and (
            integer(node, "axis", 1) % len(stored) or "block_size" in node.attributes
        ):
            return False
    return True


def _scale_weights(
    graph: ir.Graph, conv: ir.Node, index: int, factors: NDArray[np.float32]
) -> None:
    value = conv.inputs[index]
    node = producer(value, "DequantizeLinear")
    assert value is not None  # _scalable
    assert node is not None
    assert node.inputs[1] is not None
    scale: NDArray[Any] | None = constant(node.inputs[1])
    assert scale is not None
    wide = np.broadcast_to(scale.reshape(-1), factors.shape) * factors
    name = f"{node.inputs[1].name}_one_scale"
    node.replace_input_with(1, add_constant(graph, name, wide.astype(np.float32)))
    zero_point = _zero_point(node)
    if zero_point is not None and zero_point.size == 1:
        spread = np.full(factors.shape, zero_point.reshape(-1)[0], zero_point.dtype)
        name = f"{value.name}_zero_point"
        node.replace_input_with(2, add_constant(graph, name, spread))
    node.attributes["axis"] = ir.AttrInt64("axis", 0)
