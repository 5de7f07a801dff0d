"""Finds QDQ convolutions which our QConv and QConvAdd compute, and says why the others are left alone.

Taken: DequantizeLinear (u8) -> Conv 2-D, int8 weights per output channel or per tensor, int32 or no bias, dense or
       depthwise -> [Relu | Clip] -> QuantizeLinear (u8), where the activation is the saturation of the quantiser.
       With -> DequantizeLinear -> Add (a second quantised tensor of the same shape) -> [Relu | Clip]
       -> QuantizeLinear behind it, both become one QConvAdd.
Left:  s8 activations, grouped convolutions that are not depthwise, depthwise ones other than 3x3, 1-D and 3-D,
       auto_pad, values that somebody else reads between Conv and QuantizeLinear, an activation that is
       not the saturation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[np.generic]

# The stock runtime ignores the scale of the bias and takes x_scale * w_scale; further apart we do not dare.
BIAS_SCALE_TOLERANCE = 1e-3


class Refused(Exception):
    """A convolution is no QConv; the text says why."""


@dataclass(frozen=True)
class Quantised:
    """A u8 tensor with its scale (float32 scalar) and zero point (uint8 scalar), all values of the graph."""

    value: ir.Value
    scale: ir.Value
    zero_point: ir.Value

    @property
    def inputs(self) -> tuple[ir.Value, ir.Value, ir.Value]:
        return (self.value, self.scale, self.zero_point)


@dataclass(frozen=True)
class QuantisedConv:
    """One match. `conv_scale`, `conv_zero_point`, `residual` are set when an addition is part of it."""

    conv: ir.Node
    last: ir.Node
    x: Quantised
    w: Array  # int8 [o, i / group, kh, kw]
    w_scale: Array  # float32 [o]
    bias: Array  # int32 [o]
    y: Quantised
    attributes: dict[str, list[int] | int]
    convolved: Quantised | None = None
    residual: Quantised | None = None


def find(graph: ir.Graph) -> tuple[list[QuantisedConv], dict[str, str]]:
    """Matches in the order of the graph, and node name -> reason for convolutions that are left alone.

    Shapes of all values must be known as far as they can be.
    """
    matches: list[QuantisedConv] = []
    refused: dict[str, str] = {}
    for node in graph:
        if node.op_type == "Conv" and node.domain == "":
            try:
                matches.append(_match(node))
            except Refused as why:
                refused[node.name or str(node.outputs[0].name)] = str(why)
    order = {node: i for i, node in enumerate(graph)}
    taken: set[ir.Node] = set()
    joined: list[QuantisedConv] = []
    # The later of two convolutions before an addition takes it: the other one is then its finished residual.
    for match in sorted(matches, key=lambda m: order[m.conv], reverse=True):
        with_add = _with_add(match)
        if with_add is not None and with_add.last not in taken:
            taken.add(with_add.last)
            joined.append(with_add)
        else:
            joined.append(match)
    return sorted(joined, key=lambda m: order[m.last]), refused


def _match(conv: ir.Node) -> QuantisedConv:
    x = _dequantised(conv.inputs[0])
    if x is None:
        raise Refused("its input is not a quantised u8 tensor")
    w, w_scale = _weights(conv)
    quantise = _quantiser(conv.outputs[0])
    outputs, per_group = w.shape[0], w.shape[1]
    group = _integer(conv, "group", 1)
    if group != 1 and not (per_group == 1 and outputs == group):
        raise Refused(f"group {group} is neither dense nor depthwise")
    if group != 1 and not _fast_depthwise(conv, w):
        raise Refused("depthwise, but not 3x3 without dilation: the runtime's own is faster")
    if (auto_pad := conv.attributes.get("auto_pad")) and auto_pad.as_string() != "NOTSET":
        raise Refused(f"auto_pad {auto_pad.as_string()}")
    scale = _constant(x.scale)
    assert scale is not None  # _dequantised checked it
    return QuantisedConv(
        conv=conv,
        last=quantise,
        x=x,
        w=w,
        w_scale=w_scale,
        bias=_bias(conv, float(scale.item()), w_scale),
        y=_quantised(quantise),
        attributes={
            "strides": _integers(conv, "strides", [1, 1]),
            "pads": _integers(conv, "pads", [0, 0, 0, 0]),
            "dilations": _integers(conv, "dilations", [1, 1]),
            "group": group,
        },
    )


def _fast_depthwise(conv: ir.Node, w: Array) -> bool:
    """Whether a kernel of ours other than the portable one takes this depthwise convolution."""
    dilations, strides = _integers(conv, "dilations", [1, 1]), _integers(conv, "strides", [1, 1])
    return w.shape[2:] == (3, 3) and dilations == [1, 1] and strides[-1] <= 2


def _with_add(match: QuantisedConv) -> QuantisedConv | None:
    """`match` with the addition behind it, or None if there is none that fits."""
    if match.attributes["group"] != 1:  # no fast kernel adds to a depthwise convolution
        return None
    value = match.last.outputs[0]
    dequantise = _only_user(value, "DequantizeLinear")
    if dequantise is None or list(dequantise.inputs[1:3]) != list(match.last.inputs[1:3]):
        return None
    add = _only_user(dequantise.outputs[0], "Add")
    if add is None or add.inputs[0] is add.inputs[1]:
        return None
    other = add.inputs[1] if add.inputs[0] is dequantise.outputs[0] else add.inputs[0]
    residual = _dequantised(other)
    if residual is None or not _same_shape(residual.value, value):
        return None
    try:
        quantise = _quantiser(add.outputs[0])
    except Refused:
        return None
    return QuantisedConv(
        conv=match.conv,
        last=quantise,
        x=match.x,
        w=match.w,
        w_scale=match.w_scale,
        bias=match.bias,
        y=_quantised(quantise),
        attributes=match.attributes,
        convolved=match.y,
        residual=residual,
    )


def _weights(conv: ir.Node) -> tuple[Array, Array]:
    value = conv.inputs[1]
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear":
        raise Refused("its weights are not quantised")
    w, scale = _constant(node.inputs[0]), _constant(node.inputs[1])
    if w is None or scale is None or w.dtype != np.int8:
        raise Refused("its weights are not a constant of int8")
    if w.ndim != 4:
        raise Refused(f"weights of rank {w.ndim}, not 4")
    zero_point = _constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.any():
        raise Refused("weights with a zero point")
    if scale.size > 1 and (_integer(node, "axis", 1) != 0 or scale.shape != w.shape[:1]):
        raise Refused("weight scales are not per output channel")
    return w, np.broadcast_to(scale.astype(np.float32).reshape(-1), w.shape[:1]).copy()


def _bias(conv: ir.Node, x_scale: float, w_scale: Array) -> Array:
    value = conv.inputs[2] if len(conv.inputs) > 2 else None
    if value is None:
        return np.zeros(w_scale.shape, np.int32)
    node = value.producer()
    bias = _constant(node.inputs[0]) if node and node.op_type == "DequantizeLinear" else None
    if node is None or bias is None or bias.dtype != np.int32:
        raise Refused("its bias is not a constant of int32")
    scale = _constant(node.inputs[1])
    wanted = np.float32(x_scale) * w_scale.astype(np.float32)
    if scale is None or not np.allclose(
        scale.reshape(-1), wanted, rtol=BIAS_SCALE_TOLERANCE, atol=0.0
    ):
        raise Refused("the scale of its bias is not x_scale * w_scale")
    zero_point = _constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.any():
        raise Refused("bias with a zero point")
    return bias.reshape(-1)


def _quantiser(value: ir.Value) -> ir.Node:
    """The QuantizeLinear that alone reads `value`, through a Relu or Clip that its saturation already is."""
    activation = _only_user(value, "Relu") or _only_user(value, "Clip")
    node = _only_user(activation.outputs[0] if activation else value, "QuantizeLinear")
    if node is None:
        raise Refused("its result is not quantised at once")
    y = _quantised(node)
    if activation is not None:
        scale, zero_point = _constant(y.scale), _constant(y.zero_point)
        assert scale is not None  # _quantised checked both
        assert zero_point is not None
        low, high = _bounds(activation)
        lowest = np.rint(np.float32(low) / scale.item()) + zero_point.item()
        highest = np.rint(np.float32(high) / scale.item()) + zero_point.item()
        if lowest > 0 or highest < np.iinfo(np.uint8).max:
            raise Refused(f"{activation.op_type} is narrower than the range of its quantiser")
    return node


def _bounds(activation: ir.Node) -> tuple[float, float]:
    if activation.op_type == "Relu":
        return 0.0, float("inf")
    bounds = [-float("inf"), float("inf")]
    for i, value in enumerate(activation.inputs[1:3]):
        if value is not None:
            limit = _constant(value)
            if limit is None:
                raise Refused("Clip with a computed limit")
            bounds[i] = float(limit.item())
    return bounds[0], bounds[1]


def _dequantised(value: ir.Value | None) -> Quantised | None:
    """The u8 tensor behind a DequantizeLinear, or None."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear":
        return None
    try:
        return _quantised(node)
    except Refused:
        return None


def _quantised(node: ir.Node) -> Quantised:
    """The u8 side of a QuantizeLinear or DequantizeLinear."""
    value = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    scale, zero_point = _constant(node.inputs[1]), None
    if len(node.inputs) > 2:
        zero_point = _constant(node.inputs[2])
    if value is None or scale is None or zero_point is None or scale.size != 1:
        raise Refused("scale or zero point of an activation is not a constant scalar")
    if zero_point.dtype != np.uint8:
        raise Refused(f"activations of {zero_point.dtype}, not uint8")
    scale_value, zero_point_value = node.inputs[1], node.inputs[2]
    assert scale_value is not None
    assert zero_point_value is not None
    return Quantised(value, scale_value, zero_point_value)


def _constant(value: ir.Value | None) -> Array | None:
    if value is None or value.is_graph_input():  # an initializer that the caller may replace
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return tensor.numpy() if tensor is not None else None


def _only_user(value: ir.Value, op_type: str) -> ir.Node | None:
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != op_type:
        return None
    return uses[0].node if uses[0].node.inputs[0] is value or op_type == "Add" else None


def _same_shape(a: ir.Value, b: ir.Value) -> bool:
    return a.shape is not None and b.shape is not None and list(a.shape) == list(b.shape)


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return attribute.as_int() if attribute is not None else default


def _integers(node: ir.Node, name: str, default: list[int]) -> list[int]:
    attribute = node.attributes.get(name)
    return list(attribute.as_ints()) if attribute is not None else default
