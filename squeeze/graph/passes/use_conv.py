"""Writes the parameter-free shortcut of He et al. 2016 (option A) as a convolution, which can stay in int8.

    x[:, :, ::s, ::s], then zero channels before and after  ->  Conv 1x1, stride s, ones where channels are kept

Cases: one or two Slice nodes that take every s-th row and column from the first on, then a Pad of zeros on the
       channels; fixed dimensions.
Left:  Slice that starts or ends elsewhere, Slice or Pad that others read, a Pad without Slice, padding of space.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.passes.fold_pad import pads_per_axis
from squeeze.graph.values import (
    add_constant,
    constant,
    is_op,
    known_dims,
    only_user,
    producer,
    replace,
)


def use_conv(model: ir.Model) -> bool:
    """True when a shortcut was replaced."""
    return any([_replace(model.graph, n) for n in tuple(model.graph) if is_op(n, "Pad")])


def _replace(graph: ir.Graph, pad: ir.Node) -> bool:
    amounts = pads_per_axis(pad)
    if amounts is None or len(amounts) != 4 or any(any(amounts[a]) for a in (0, 2, 3)):
        return False
    source, slices = pad.inputs[0], list[ir.Node]()
    strides = [1, 1]
    while (node := producer(source, "Slice")) is not None and only_user(
        node.outputs[0]
    ) is not None:
        taken = steps(node)
        if taken is None:
            return False
        strides = [a * b for a, b in zip(strides, taken, strict=True)]
        slices.append(node)
        source = node.inputs[0]
    dims = known_dims(source, 1)
    if not slices or source is None or dims is None:
        return False
    channels, (before, after) = dims[0], amounts[1]
    if min(before, after) < 0:
        return False
    weights = np.zeros((before + channels + after, channels, 1, 1), np.float32)
    weights[before : before + channels, :, 0, 0] = np.eye(channels, dtype=np.float32)
    old = pad.outputs[0]
    kernel = add_constant(graph, f"{old.name}_selection", weights)
    attributes = [ir.AttrInt64s("kernel_shape", [1, 1]), ir.AttrInt64s("strides", strides)]
    conv = ir.Node("", "Conv", [source, kernel], attributes, name=pad.name)
    conv.outputs[0].name, conv.outputs[0].type = f"{old.name}_conv", old.type
    conv.outputs[0].shape = old.shape
    graph.insert_before(pad, conv)
    replace(old, conv.outputs[0])
    graph.remove([pad, *slices], safe=True)
    return True


def steps(node: ir.Node) -> list[int] | None:
    """The strides [rows, columns] of a Slice that begins at 0, goes to the end and leaves batch and channels alone."""
    parts = [constant(value) for value in node.inputs[1:]]
    dims = known_dims(node.inputs[0], 1)
    if len(parts) != 4 or any(p is None for p in parts) or dims is None or len(dims) != 3:
        return None
    starts, ends, axes, every = ([int(v) for v in np.asarray(p).reshape(-1)] for p in parts)
    found = [1, 1]
    for start, end, axis, step in zip(starts, ends, (a % 4 for a in axes), every, strict=True):
        if start != 0 or axis < 2 or step < 1 or end < dims[axis - 1]:
            return None
        found[axis - 2] *= step
    return found
