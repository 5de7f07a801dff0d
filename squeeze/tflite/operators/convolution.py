"""Conv and ConvTranspose. One dimension is written as an image of height 1, groups as convolutions side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from squeeze.tflite.layout import channels_last
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Codes
from squeeze.tflite.plan import Plan, plan
from squeeze.tflite.windows import Window, image, image_made, padded, window
from squeeze.tflite.writing import Writing


def conv(w: Writing, node: Node) -> None:
    kernel = _kernel(w, node)
    codes = _weight_codes(w, node, 0)
    planned = plan(
        w, node, node.inputs[:1], fuse=True, int8=codes is not None and _has_bias(w, node)
    )
    seen = window(w, node, kernel.shape[2:])
    x = image(w, node.inputs[0], planned.params and w.params(node.inputs[0]))
    groups = int(node.attributes.get("group", 1))
    channels = w.file.shapes[x][3]
    deep = groups > 1 and groups == channels
    bias = _bias(w, node, kernel.shape[0])
    x, padding = padded(w, x, seen)
    y = image_made(w, planned.output, planned.params)
    if groups == 1 or deep:
        _one(
            w,
            node,
            x,
            y,
            _Weights(kernel, bias, codes if planned.params else None),
            seen,
            padding,
            planned.fused,
            deep,
        )
    else:
        parts = _split(w, x, groups)
        made = []
        for i, (part, weights) in enumerate(
            zip(
                parts,
                _Weights(kernel, bias, codes if planned.params else None).parts(groups),
                strict=True,
            )
        ):
            shape = (*w.file.shapes[y][:3], kernel.shape[0] // groups)
            out = w.between(f"{planned.output}/{i}", shape, y)
            _one(w, node, part, out, weights, seen, padding, planned.fused, False)
            made.append(out)
        w.write("CONCATENATION", made, [y], axis=3)
    _finish(w, planned, y)


def conv_transpose(w: Writing, node: Node) -> None:
    kernel = _kernel(w, node)  # [c, m / groups, h, w]
    groups = int(node.attributes.get("group", 1))
    codes = _weight_codes(w, node, 1)
    if groups > 1 and codes is not None and codes.scale.size > 1:
        codes = None  # scales of each group's own outputs would lie over each other
    planned = plan(
        w, node, node.inputs[:1], fuse=True, int8=codes is not None and _has_bias(w, node)
    )
    if "output_shape" in node.attributes:
        raise w.refused("its pads follow from output_shape; write them as numbers")
    seen = window(w, node, kernel.shape[2:])
    y_shape = w.shape(node.outputs[0])[2:]
    kernel = _filled(kernel, seen, y_shape)
    codes = codes and Codes(
        _filled(codes.values, seen, y_shape), codes.scale, codes.zero, codes.axis
    )
    seen = replace(seen, kernel=kernel.shape[2:], dilations=(1, 1))
    x = image(w, node.inputs[0], planned.params and w.params(node.inputs[0]))
    y = image_made(w, planned.output, planned.params)
    weights = _Weights(
        kernel.swapaxes(0, 1) if groups == 1 else kernel,
        _bias(w, node, kernel.shape[1] * groups),
        codes and Codes(codes.values.swapaxes(0, 1), codes.scale, codes.zero, 0)
        if groups == 1
        else codes,
    )
    if planned.params is None:
        weights = _Weights(weights.kernel, weights.bias, None)
    if groups == 1:
        _one_transposed(w, node, x, y, weights, seen, planned.fused)
    else:
        made = []
        for i, part in enumerate(_split(w, x, groups)):
            own = slice(i * kernel.shape[0] // groups, (i + 1) * kernel.shape[0] // groups)
            outs = slice(i * kernel.shape[1], (i + 1) * kernel.shape[1])
            small = _Weights(
                kernel[own].swapaxes(0, 1),
                weights.bias[outs],
                weights.codes
                and Codes(
                    weights.codes.values[own].swapaxes(0, 1),
                    weights.codes.scale,
                    weights.codes.zero,
                    0,
                ),
            )
            out = w.between(f"{planned.output}/{i}", (*w.file.shapes[y][:3], kernel.shape[1]), y)
            _one_transposed(w, node, part, out, small, seen, planned.fused)
            made.append(out)
        w.write("CONCATENATION", made, [y], axis=3)
    _finish(w, planned, y)


def _filled(kernel: Array, seen: Window, made: Sequence[int]) -> Array:
    """A kernel [c, m, h, w] with zeros for what TRANSPOSE_CONV has not: between its entries where it is dilated, behind
    them where output_padding asks for places that no entry reaches, which have the bias alone."""
    places = (1, *made) if len(made) == 1 else tuple(made)
    sizes = [
        max(reach, begin + n - (size - 1) * s)
        for reach, begin, n, size, s in zip(
            seen.reach, seen.begins, places, seen.sizes, seen.strides, strict=True
        )
    ]
    filled = np.zeros((*kernel.shape[:2], *sizes), kernel.dtype)
    high, wide = seen.reach
    down, right = seen.dilations
    filled[:, :, :high:down, :wide:right] = kernel
    return filled


class _Weights:
    """kernel: [m, c, h, w] floats; bias: [m] floats; codes: of the kernel, in int8."""

    def __init__(self, kernel: Array, bias: Array, codes: Codes | None) -> None:
        self.kernel, self.bias, self.codes = kernel, bias, codes

    def parts(self, groups: int) -> list[_Weights]:
        """Those of each group of outputs."""
        found = []
        for kernel, bias, i in zip(
            np.split(self.kernel, groups), np.split(self.bias, groups), range(groups), strict=True
        ):
            codes = None
            if self.codes is not None:
                own = slice(i * len(kernel), (i + 1) * len(kernel))
                shared = self.codes.scale.size == 1
                scale = self.codes.scale if shared else self.codes.scale[own]
                zero = self.codes.zero if shared else self.codes.zero[own]
                codes = Codes(self.codes.values[own], scale, zero, 0)
            found.append(_Weights(kernel, bias, codes))
        return found


def bias_codes(bias: Array, scale: float, weight_scales: Array) -> Codes:
    """int32 in units of what a product of codes stands for, as TFLite wants it."""
    units = np.float32(scale) * weight_scales.astype(np.float32)
    codes = np.rint(bias.astype(np.float64) / np.broadcast_to(units, bias.shape).astype(np.float64))
    limits = np.iinfo(np.int32)
    stored = np.clip(codes, limits.min, limits.max).astype(np.int32)
    return Codes(stored, units, np.zeros(len(units), np.int64), 0)


def _one(
    w: Writing,
    node: Node,
    x: int,
    y: int,
    weights: _Weights,
    seen: Window,
    padding: int,
    fused: int,
    deep: bool,
) -> None:
    order = (1, 2, 3, 0) if deep else (0, 2, 3, 1)
    options = {
        "padding": padding,
        "strideH": seen.strides[0],
        "strideW": seen.strides[1],
        "dilationHFactor": seen.dilations[0],
        "dilationWFactor": seen.dilations[1],
        "fusedActivationFunction": fused,
    }
    if deep:
        options["depthMultiplier"] = weights.kernel.shape[0] // w.file.shapes[x][3]
    constants = _constants(w, node, x, weights, order, 3 if deep else 0)
    w.write("DEPTHWISE_CONV_2D" if deep else "CONV_2D", [x, *constants], [y], **options)


def _one_transposed(
    w: Writing, node: Node, x: int, y: int, weights: _Weights, seen: Window, fused: int
) -> None:
    """TRANSPOSE_CONV makes all that the kernel reaches (VALID); what `pads` take away is cut off behind it."""
    sizes = w.file.shapes[x][1:3]
    reach = [(n - 1) * s + k for n, s, k in zip(sizes, seen.strides, seen.kernel, strict=True)]
    batch, high, wide, channels = w.file.shapes[y]
    same = all(
        math.ceil(out / s) == n and max((n - 1) * s + k - out, 0) // 2 == begin
        for n, s, k, out, begin in zip(
            sizes, seen.strides, seen.kernel, (high, wide), seen.begins, strict=True
        )
    )
    constants = _constants(w, node, x, weights, (0, 2, 3, 1), 0)
    options = {
        "strideH": seen.strides[0],
        "strideW": seen.strides[1],
        "fusedActivationFunction": fused,
    }
    if same or tuple(reach) == (high, wide):
        shape = w.ints([batch, high, wide, channels])
        w.write(
            "TRANSPOSE_CONV",
            [shape, constants[0], x, constants[1]],
            [y],
            padding=0 if same else 1,
            **options,
        )
        return
    whole = w.between(f"{node.outputs[0]}/whole", (batch, *reach, channels), y)
    w.write(
        "TRANSPOSE_CONV",
        [w.ints([batch, *reach, channels]), constants[0], x, constants[1]],
        [whole],
        padding=1,
        **options,
    )
    w.write(
        "SLICE", [whole, w.ints([0, *seen.begins, 0]), w.ints([batch, high, wide, channels])], [y]
    )


def _constants(
    w: Writing, node: Node, x: int, weights: _Weights, order: tuple[int, ...], axis: int
) -> list[int]:
    if weights.codes is None:
        kernel = w.file.constant(node.inputs[1], weights.kernel.transpose(order))
        return [kernel, w.file.constant(node.input(2) or f"{node.outputs[0]}/bias", weights.bias)]
    codes, params = weights.codes, w.file.params[x]
    assert params is not None
    scales = np.broadcast_to(codes.scale, (len(weights.bias),))
    stored = Codes(codes.values.transpose(order), scales, np.zeros(len(scales), np.int64), axis)
    bias = bias_codes(weights.bias, params.scale, scales)
    return [
        w.file.codes(node.inputs[1], stored),
        w.file.codes(node.input(2) or f"{node.outputs[0]}/bias", bias),
    ]


def _split(w: Writing, x: int, groups: int) -> list[int]:
    batch, high, wide, channels = w.file.shapes[x]
    parts = [
        w.between(f"group {i}", (batch, high, wide, channels // groups), x) for i in range(groups)
    ]
    w.write(
        "SPLIT_V", [x, w.ints([channels // groups] * groups), w.ints(3)], parts, numSplits=groups
    )
    return parts


def _finish(w: Writing, planned: Plan, y: int) -> None:
    """A sequence [n, l, c] is taken out of its image of height 1."""
    shape = w.shape(planned.output)
    if len(shape) == 4:
        w.give(planned.output, y, channels_last(4), planned.params)
        return
    axes = channels_last(3)
    made = w.made(planned.output, axes, planned.params)
    w.reshape(y, made)


def _kernel(w: Writing, node: Node) -> Array:
    """[m, c, h, w], of height 1 for one dimension."""
    kernel = w.needed(node.inputs[1], "kernel")
    if kernel.ndim not in (3, 4):
        raise w.refused(f"it has {kernel.ndim - 2} dimensions; TFLite has convolutions of 1 and 2")
    return kernel if kernel.ndim == 4 else kernel[:, :, None, :]


def _weight_codes(w: Writing, node: Node, axis: int) -> Codes | None:
    """Symmetric int8 with one scale, or one for each output; None for all others."""
    codes = w.graph.codes.get(node.inputs[1])
    if codes is None or not codes.symmetric or codes.values.dtype.name != "int8":
        return None
    if codes.scale.size > 1 and codes.axis != axis:
        return None
    values = codes.values if codes.values.ndim == 4 else codes.values[:, :, None, :]
    return Codes(values, codes.scale, codes.zero, codes.axis)


def _bias(w: Writing, node: Node, count: int) -> Array:
    if not node.input(2):
        return np.zeros(count, np.float32)
    return w.needed(node.input(2), "bias").reshape(-1)


def _has_bias(w: Writing, node: Node) -> bool:
    return not node.input(2) or node.input(2) in w.graph.constants
