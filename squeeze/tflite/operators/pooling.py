"""Pools of windows and of whole images."""

from __future__ import annotations

import numpy as np

from squeeze.tflite.layout import channels_last
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Params
from squeeze.tflite.plan import plan
from squeeze.tflite.windows import SAME, VALID, Window, image, image_made, pad, window
from squeeze.tflite.writing import Writing


def max_pool(w: Writing, node: Node) -> None:
    """In the params of what it reads: the largest code stands for the largest number."""
    if len(node.outputs) > 1 and node.outputs[1] in w.graph.readers:
        raise w.refused("its places are read; TFLite gives the values alone")
    seen = _whole(w, node)
    params = w.params(node.inputs[0])
    x = image(w, node.inputs[0], params)
    padding = VALID if seen.is_valid else SAME
    if not seen.is_valid and not seen.is_same:
        # PAD writes what stands for 0. That is the least of all codes behind a Relu; else the least is written.
        value = None if params is not None and params.zero == -128 else -np.inf
        x, padding = pad(w, x, seen.begins, seen.ends, value), VALID
    _pool(w, node, "MAX_POOL_2D", x, seen, padding, params)


def average_pool(w: Writing, node: Node) -> None:
    seen = _whole(w, node)
    if max(seen.dilations) > 1:
        raise w.refused("it is dilated, which pools of TFLite are not")
    counted = bool(node.attributes.get("count_include_pad", 0))
    # What ceil_mode lets the windows reach beyond the pads counts for nobody.
    all_counted = counted and seen.ends == window(w, node, node.ints("kernel_shape", ())).ends
    params = w.params(node.inputs[0])
    x = image(w, node.inputs[0], params)
    if seen.is_valid or (seen.is_same and not counted):
        _pool(w, node, "AVERAGE_POOL_2D", x, seen, VALID if seen.is_valid else SAME, params)
        return
    if all_counted:
        _pool(w, node, "AVERAGE_POOL_2D", pad(w, x, seen.begins, seen.ends), seen, VALID, params)
        return
    # The average over all places, those outside as zeros, times how many there are for one inside.
    if params is not None:
        w.in_float.append(node.name)
        x = image(w, node.inputs[0], None)
    x = pad(w, x, seen.begins, seen.ends)
    y = image_made(w, node.outputs[0], None)
    middle = w.between(f"{node.outputs[0]}/sum", w.file.shapes[y], y)
    _write(w, "AVERAGE_POOL_2D", x, middle, seen, VALID)
    share = _shares(w, node, seen)
    w.write("MUL", [middle, w.file.constant("shares", share)], [y], fusedActivationFunction=0)
    _give(w, node, y, None)


def global_average(w: Writing, node: Node) -> None:
    x = node.inputs[0]
    rank = len(w.shape(x))
    planned = plan(w, node, [x])
    axes = channels_last(rank)
    given = w.take(x, axes, w.params(x) if planned.params else None)
    y = w.made(planned.output, axes, planned.params)
    if (
        rank == 4 and planned.params is not None and planned.params == w.params(x)
    ):  # which NPUs do in fewer cycles
        sizes = w.shape(x)[2:]
        seen = Window(sizes, sizes, (1, 1), (1, 1), (0, 0), (0, 0))
        _write(w, "AVERAGE_POOL_2D", given, y, seen, VALID)
        return
    w.write("MEAN", [given, w.ints(list(range(1, rank - 1)), "axes")], [y], keepDims=True)


def global_max(w: Writing, node: Node) -> None:
    x = node.inputs[0]
    rank = len(w.shape(x))
    params = w.params(x)
    axes = channels_last(rank)
    given = w.take(x, axes, params)
    y = w.made(node.outputs[0], axes, params)
    w.write("REDUCE_MAX", [given, w.ints(list(range(1, rank - 1)), "axes")], [y], keepDims=True)


def _whole(w: Writing, node: Node) -> Window:
    """With what ceil_mode makes the windows reach beyond the pads as pads at the end."""
    seen = window(w, node, node.ints("kernel_shape", ()))
    out = w.shape(node.outputs[0])[2:]
    out = (1, *out) if len(out) == 1 else out
    # ONNX has no window that starts behind the image, but infers a place for it.
    if any(
        (n - 1) * s >= size + begin
        for n, s, size, begin in zip(out, seen.strides, seen.sizes, seen.begins, strict=True)
    ):
        raise w.refused("a window of its ceil_mode starts behind the image; set ceil_mode to 0")
    ends = tuple(
        end + max((n - 1) * s + reach - (size + begin + end), 0)
        for n, s, reach, size, begin, end in zip(
            out, seen.strides, seen.reach, seen.sizes, seen.begins, seen.ends, strict=True
        )
    )
    return Window(seen.sizes, seen.kernel, seen.strides, seen.dilations, seen.begins, ends)


def _pool(
    w: Writing, node: Node, op: str, x: int, seen: Window, padding: int, params: Params | None
) -> None:
    if max(seen.dilations) > 1:
        raise w.refused("it is dilated, which pools of TFLite are not")
    y = image_made(w, node.outputs[0], params)
    _write(w, op, x, y, seen, padding)
    _give(w, node, y, params)


def _write(w: Writing, op: str, x: int, y: int, seen: Window, padding: int) -> None:
    w.write(
        op,
        [x],
        [y],
        padding=padding,
        strideH=seen.strides[0],
        strideW=seen.strides[1],
        filterHeight=seen.kernel[0],
        filterWidth=seen.kernel[1],
        fusedActivationFunction=0,
    )


def _give(w: Writing, node: Node, y: int, params: Params | None) -> None:
    shape = w.shape(node.outputs[0])
    if len(shape) == 4:
        w.give(node.outputs[0], y, channels_last(4), params)
    else:
        w.reshape(y, w.made(node.outputs[0], channels_last(3), params))


def _shares(w: Writing, node: Node, seen: Window) -> Array:
    """Places of each window over those that count, [1, h, w, 1]."""
    own = bool(node.attributes.get("count_include_pad", 0))
    pads = node.ints("pads", [0, 0, 0, 0])
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
    counts = []
    for axis in range(2):
        size = seen.sizes[axis] + seen.begins[axis] + seen.ends[axis]
        first, last = seen.begins[axis], seen.begins[axis] + seen.sizes[axis]
        if own:
            first, last = 0, last + pads[2 + axis]
        starts = range(0, size - seen.kernel[axis] + 1, seen.strides[axis])
        counts.append(
            np.asarray([min(s + seen.kernel[axis], last) - max(s, first) for s in starts])
        )
    places = seen.kernel[0] * seen.kernel[1]
    shares: Array = (places / np.outer(counts[0], counts[1])).astype(np.float32)[None, :, :, None]
    return shares
