"""Channels of very different size in front of depthwise convolutions, equalised in the float graph.

The one scale of a tensor is that of its largest channel. A 1 x 1 convolution mixes channels, and a small one counts
little; a depthwise convolution keeps each for itself, and of one that is a hundredth of the largest two steps of 256
are left. Each channel c is therefore divided by r_c = max|x_c| / max|x| where it is made, and multiplied by r_c in the
depthwise weights, whose scale is per channel anyway: "cross-layer equalisation" (Nagel et al. 2019), with the ranges of
the activations in the place of those of the weights.

    y = conv(x, w), f(y) -> depthwise, v           w / r, b / r; f(y r); f / s; v s

homogeneous   f is nothing, Relu, LeakyRelu or a PRelu: f(y / r) = f(y) / r. Nothing but constants changes.
others        HardSwish, SiLU, Clip and so on, however they are written: y is multiplied by r again in front of f, and
              f divided by s behind it, where depthwise convolutions alone read it. This costs the two products, and
              one table of 256 bytes cannot stand for f any more. (Quantisers with a scale per channel would take the
              products in, but made a whole text detector four times as slow on the stock runtime.)
left          a convolution that anybody else reads, channels that are alike
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, constant, graph_of, integer, is_op, tell_apart
from squeeze.quant.repair.channels import Wide, largest, scale
from squeeze.quant.stretches import stretch

if TYPE_CHECKING:
    from squeeze.feed import Passes

HOMOGENEOUS = ("Identity", "LeakyRelu", "PRelu", "Relu")
# What a channel must gain in the mean: for other constants alone, and for two products more.
LEAST_GAINED_BITS = 0.5
LEAST_GAINED_BY_PRODUCTS = 2.0
# No channel is made larger than this: one that hardly ever moves on the samples may move later.
SMALLEST = 1 / 256


@dataclass(frozen=True)
class _Place:
    """A convolution; the value that its function ends in, itself where there is none; the depthwise convolutions that
    read that, none where others do; whether the function is homogeneous."""

    layer: ir.Node
    end: ir.Value
    readers: tuple[ir.Node, ...]
    homogeneous: bool

    @property
    def start(self) -> ir.Value:
        return self.layer.outputs[0]


def equalise(
    model: ir.Model, passes: Passes, samples: int, *, functions: bool
) -> tuple[ir.Model, int]:
    """A new model that computes the same, and behind how many convolutions it was changed.

    functions: also where f is not homogeneous. Raises ConfigError when there are no samples or they are not finite.
    """
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    places = [
        p for n in copy.graph if (p := _place(n)) is not None and (functions or p.homogeneous)
    ]
    if not places:
        return copy, 0
    names = [str(v.name) for p in places for v in (p.start, p.end)]
    sizes = largest(model, list(dict.fromkeys(names)), passes, samples, axis=1)
    count = sum(_changed(place, sizes) for place in places)
    tell_apart(copy)
    return copy, count


def factors(sizes: Wide) -> Wide:
    """r [c] from the largest magnitude of each channel [c]: 1 for the largest channel, and for those that are zero."""
    most = float(sizes.max(initial=0.0))
    if most == 0:
        return np.ones_like(sizes)
    return np.where(sizes > 0, np.maximum(sizes / most, SMALLEST), 1.0)


def _place(layer: ir.Node) -> _Place | None:
    if not is_op(layer, "Conv") or not all(_is_float(v) for v in layer.inputs[1:3]):
        return None
    start = layer.outputs[0]
    users = {user for user, _ in start.uses()}
    if not users or start.is_graph_output():
        return None
    if readers := _depthwise(start):
        return _Place(layer, start, readers, homogeneous=True)
    found = stretch(start, ())
    if found is None or not users <= set(found.nodes):
        return None
    readers = _depthwise(found.end)
    alike = all(is_op(n, *HOMOGENEOUS) for n in found.nodes)
    if alike and not readers:
        return None  # there is nowhere to multiply, and such functions need no grid of their own
    return _Place(layer, found.end, readers, homogeneous=alike)


def _depthwise(value: ir.Value) -> tuple[ir.Node, ...]:
    """The readers of a value, when all of them keep its channels apart and have constant weights; else none."""
    uses = list(value.uses())
    if value.is_graph_output() or not all(index == 0 and _keeps_apart(u) for u, index in uses):
        return ()
    return tuple(user for user, _ in uses)


def _keeps_apart(node: ir.Node) -> bool:
    weights = constant(node.inputs[1]) if is_op(node, "Conv") else None
    if weights is None or weights.dtype != np.float32 or weights.shape[1] != 1:
        return False
    return integer(node, "group", 1) > 1 and len(weights) % integer(node, "group", 1) == 0


def _is_float(value: ir.Value | None) -> bool:
    """Whether it is missing, or constant and float32."""
    found = constant(value)
    return value is None or (found is not None and found.dtype == np.float32)


def _changed(place: _Place, sizes: dict[str, Wide]) -> bool:
    """Whether a place was worth it."""
    end = sizes[str(place.end.name)]
    behind = factors(end) if place.readers else np.ones_like(end)
    before = behind if place.homogeneous else factors(sizes[str(place.start.name)])
    gained = max(float(-np.log2(r).mean()) for r in (before, behind))
    if gained < (LEAST_GAINED_BITS if place.homogeneous else LEAST_GAINED_BY_PRODUCTS):
        return False
    dimensions = _weights(place.layer).ndim
    scale(place.layer, 1, _rows(1 / before, dimensions), "equalised")
    if len(place.layer.inputs) > 2 and place.layer.inputs[2] is not None:
        scale(place.layer, 2, 1 / before, "equalised")
    for node in place.readers:
        each = len(_weights(node)) // integer(node, "group", 1)
        scale(node, 1, _rows(np.repeat(behind, each), dimensions), "equalised")
    if not place.homogeneous:
        users = tuple(place.start.uses())
        back = _times(place.start, before, dimensions, "channels")
        for user, index in users:
            user.replace_input_with(index, back)
        if place.readers:
            equal = _times(place.end, 1 / behind, dimensions, "equalised")
            for node in place.readers:
                node.replace_input_with(0, equal)
    return True


def _times(value: ir.Value, by: Wide, dimensions: int, what: str) -> ir.Value:
    """`value`, of so many dimensions, with each channel (axis 1) times a number."""
    made = value.producer()
    assert made is not None
    dims = [1, -1, *[1] * (dimensions - 2)]
    array = by.astype(np.float32).reshape(dims)
    numbers = add_constant(graph_of(made), f"{value.name}_{what}_by", array)
    node = ir.Node("", "Mul", [value, numbers], name=f"{value.name}_{what}")
    node.outputs[0].name = f"{value.name}_{what}"
    node.outputs[0].type, node.outputs[0].shape = value.type, value.shape
    graph_of(made).insert_after(made, node)
    return node.outputs[0]


def _rows(by: Wide, dimensions: int) -> Wide:
    """One number for each row of weights, [o] -> [o, 1, ...]."""
    return by.reshape(-1, *[1] * (dimensions - 1))


def _weights(node: ir.Node) -> NDArray[np.generic]:
    found = constant(node.inputs[1])
    assert found is not None  # _place
    return found
