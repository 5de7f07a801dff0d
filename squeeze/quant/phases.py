"""ConvTranspose as a convolution that makes all phases of the stride at once: runtimes compute that in int8.

    y[s t + phase] = sum over u of x[t + u] w[phase + p - s u]      s: stride, p: padding at the beginning

so that a Conv with s times the channels for each axis, one for each phase, makes the same numbers, and they are moved
beside each other. Exact but for the order of sums. Where the kernel is no multiple of the stride, or is padded, some
weights of some phases are 0: kernel 4, stride 2, padding 1 takes 9 taps for each phase instead of 4. That is slower in
float (28 x 28, 64 to 32 channels, AVX2: 1.4 ms as ConvTranspose, 5.9 as phases) and not in int8 (1.2).

ONNX Runtime moves one axis at a time quickly, and DepthToSpace slowly (24 x 160 x 160 bytes: 0.5 ms in two moves of
one axis, 4.1 as DepthToSpace), which is left for sizes that are not known.

Cases: constant weights and bias (or none), one or two spatial axes, paddings and output_padding that begin inside the
       kernel; an output that is no whole number of strides long is cut with a Slice.
Left:  groups, whose convolutions runtimes are slow at in int8, auto_pad, output_shape, dilations, strides that differ
       between axes, 3-D, kernels shorter than the stride, and nodes that are to stay float.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.linear import output_channels
from squeeze.graph.values import (
    add_constant,
    constant,
    fresh,
    integer,
    integers,
    is_op,
    known_dims,
    names,
    replace,
)

# DepthToSpace has its mode since then.
LEAST_OPSET = 13
CONV = "_phases"


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: taps from `first` to `last` of the input, and by how much the output is longer than whole
    strides of the input (`further` strides more, of which `cut` numbers fall away)."""

    kernel: int
    stride: int
    pad: int
    first: int
    last: int
    further: int
    cut: int

    @property
    def taps(self) -> int:
        """The kernel of the convolution."""
        return self.last - self.first + 1

    @property
    def pads(self) -> tuple[int, int]:
        """What the convolution pads before and behind."""
        return -self.first, self.last + self.further


def use_phases(model: ir.Model, float_outputs: Collection[str] = ()) -> int:
    """How many ConvTranspose were replaced, in place.

    float_outputs: first outputs of nodes that stay float; that of the new Conv is called as the old one with CONV
    behind.
    """
    graph = model.graph
    if graph.opset_imports.get("", 0) < LEAST_OPSET:
        return 0
    taken = names(graph)
    found = [
        node
        for node in graph
        if is_op(node, "ConvTranspose")
        and not {str(node.outputs[0].name), f"{node.outputs[0].name}{CONV}"} & {*float_outputs}
    ]
    return sum(_replace(graph, node, taken) for node in found)


def _replace(graph: ir.Graph, node: ir.Node, taken: set[str]) -> bool:
    weights, channels = constant(node.inputs[1]), output_channels(node)
    axes = _axes(node, weights) if weights is not None and channels is not None else None
    if weights is None or channels is None or axes is None or weights.dtype != np.float32:
        return False
    source, old = node.inputs[0], node.outputs[0]
    stride, phases = axes[0].stride, axes[0].stride ** len(axes)
    prefix = node.name or str(old.name)

    def unique(name: str) -> str:
        made = fresh(name, taken)
        taken.add(made)
        return made

    def follow(
        op_type: str,
        inputs: list[ir.Value | None],
        attributes: list[ir.Attr],
        name: str = "_moved",
    ) -> ir.Value:
        made = ir.Node("", op_type, inputs, attributes, name=unique(f"{prefix}{name}"))
        made.outputs[0].name, made.outputs[0].type = unique(f"{old.name}{name}"), old.type
        graph.insert_before(node, made)
        return made.outputs[0]

    def number(name: str, array: NDArray[np.generic]) -> ir.Value:
        return add_constant(graph, unique(f"{prefix}_{name}"), array)

    def reshaped(value: ir.Value, *sizes: int) -> ir.Value:
        return follow("Reshape", [value, number("sizes", np.asarray(sizes, np.int64))], [])

    def transposed(value: ir.Value, *order: int) -> ir.Value:
        return follow("Transpose", [value], [ir.AttrInt64s("perm", list(order))])

    inputs = [source, number("weights", _spread(weights, axes))]
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None:
        inputs.append(number("bias", np.repeat(bias.reshape(-1), phases)))
    pads = [a.pads[0] for a in axes] + [a.pads[1] for a in axes]
    attributes = [
        ir.AttrInt64s("kernel_shape", [a.taps for a in axes]),
        ir.AttrInt64s("pads", pads),
    ]
    value = follow("Conv", inputs, attributes, CONV)
    spatial = known_dims(source, 2)
    if stride > 1 and len(axes) == 1:  # [n, c s, t] -> [n, c, t s]
        value = transposed(reshaped(value, 0, channels, stride, -1), 0, 1, 3, 2)
        value = reshaped(value, 0, channels, -1)
    elif stride > 1 and spatial is not None:  # [n, c s s, h, w] -> [n, c, h s, w s], columns first
        height, width = (size + a.further for size, a in zip(spatial, axes, strict=True))
        value = transposed(reshaped(value, -1, stride, height * width), 0, 2, 1)
        value = transposed(reshaped(value, -1, stride, height, width * stride), 0, 2, 1, 3)
        value = reshaped(value, -1, channels, height * stride, width * stride)
    elif stride > 1:
        order = [ir.AttrInt64("blocksize", stride), ir.AttrString("mode", "CRD")]
        value = follow("DepthToSpace", [value], order)
    if cut := [(i + 2, a.cut) for i, a in enumerate(axes) if a.cut]:
        parts = [[0] * len(cut), [-c for _, c in cut], [i for i, _ in cut]]
        limits = [number("cut", np.asarray(part, np.int64)) for part in parts]
        value = follow("Slice", [value, *limits], [])
    value.shape = old.shape
    replace(old, value)
    graph.remove(node, safe=True)
    return True


def _axes(node: ir.Node, weights: NDArray[np.generic]) -> list[_Axis] | None:
    """None where a phase would not be a convolution like the others."""
    sizes = list(weights.shape[2:])
    strides = integers(node, "strides") or [1] * len(sizes)
    pads = integers(node, "pads") or [0] * 2 * len(sizes)
    extra = integers(node, "output_padding") or [0] * len(sizes)
    dilated = any(d != 1 for d in integers(node, "dilations") or [])
    by_shape = "output_shape" in node.attributes or "auto_pad" in node.attributes
    plain = integer(node, "group", 1) == 1 and not dilated and not by_shape
    if len(sizes) not in (1, 2) or not plain or len(set(strides)) != 1:
        return None
    found = []
    for i, (k, s) in enumerate(zip(sizes, strides, strict=True)):
        begin, end = pads[i], pads[i + len(sizes)]
        first, last = math.ceil((begin - k + 1) / s), (s - 1 + begin) // s
        longer = k - begin - end + extra[i] - s  # than s times the input
        further = math.ceil(longer / s)
        if k < s or first > 0 or last + further < 0:
            return None
        found.append(_Axis(k, s, begin, first, last, further, further * s - longer))
    return found


def _spread(weights: NDArray[np.generic], axes: list[_Axis]) -> NDArray[np.float32]:
    """Weights [i, o, ...] of ConvTranspose to [o phases, i, taps ...] of Conv, the phases of a channel one after
    another."""
    spread = weights.astype(np.float32)
    for position, axis in enumerate(axes):
        # [..., kernel, ...] -> [..., phase, tap, ...] behind the axes that are done
        place = 2 + 2 * position
        at = np.arange(axis.stride)[:, None] + axis.pad
        at = at - axis.stride * np.arange(axis.first, axis.last + 1)[None]
        inside = (at >= 0) & (at < axis.kernel)
        spread = np.take(spread, np.clip(at, 0, axis.kernel - 1), axis=place)
        spread = spread * inside.reshape(at.shape + (1,) * (spread.ndim - place - 2))
    phases, taps = (range(start, spread.ndim, 2) for start in (2, 3))
    moved = spread.transpose(1, *phases, 0, *taps)
    made = (-1, weights.shape[0], *(a.taps for a in axes))
    return np.ascontiguousarray(moved.reshape(made), np.float32)
