"""Writes `auto_pad` of convolutions and pools out as numbers, which every runtime and our own kernels read alike.

Cases: SAME_UPPER, SAME_LOWER and VALID on Conv, MaxPool and AveragePool with fixed spatial dimensions; the attribute
       goes also where it says NOTSET.
Left:  varying spatial dimensions, where the padding depends on the input; dilated windows, which ONNX Runtime does not
       take together with SAME; ConvTranspose.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from squeeze.graph.values import integer, integers, is_op, known_dims, text


def explicit_pads(model: ir.Model) -> bool:
    """True when an attribute was rewritten."""
    return any(
        [_rewrite(node) for node in model.graph if is_op(node, "Conv", "MaxPool", "AveragePool")]
    )


def same_pads(
    dims: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    *,
    upper: bool,
) -> list[int]:
    """ONNX's pads [begin..., end...] for which the output has ceil(dim / stride) places; `upper`: more at the end."""
    begin, end = [], []
    for dim, k, stride in zip(dims, kernel, strides, strict=True):
        covered = (-(-dim // stride) - 1) * stride + k
        total = max(covered - dim, 0)
        less, more = total // 2, total - total // 2
        begin.append(less if upper else more)
        end.append(more if upper else less)
    return begin + end


def _rewrite(node: ir.Node) -> bool:
    if "auto_pad" not in node.attributes:
        return False
    mode = text(node, "auto_pad", "NOTSET")
    if mode == "NOTSET":
        del node.attributes["auto_pad"]
        return True
    kernel = integers(node, "kernel_shape") or known_dims(
        node.inputs[1] if len(node.inputs) > 1 else None, 2
    )
    if not kernel:
        return False
    ones = [1] * len(kernel)
    if mode == "VALID":
        pads = [0] * (2 * len(kernel))
    else:
        dims = known_dims(node.inputs[0], 2)
        dilated = (integers(node, "dilations") or ones) != ones
        if dims is None or dilated or integer(node, "ceil_mode", 0):
            return False
        strides = integers(node, "strides") or ones
        pads = same_pads(dims, kernel, strides, upper=mode == "SAME_UPPER")
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return True
