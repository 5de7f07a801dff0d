"""Moves a Pad of zeros into the convolution that reads it: Conv pads for free, on each side by its own amount.

Cases: constant mode, value 0 or absent, spatial axes only (also with the `axes` input), pads not negative; the
       convolution's own pads are added.
Left:  Pad that others read too, channels or batch padded, reflected edges, auto_pad.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph import lineage
from squeeze.graph.values import constant, integers, is_op, only_user, rank, replace, text


def fold_pad(model: ir.Model) -> bool:
    """True when a Pad disappeared."""
    return any([_fold(model.graph, node) for node in tuple(model.graph) if is_op(node, "Pad")])


def pads_per_axis(node: ir.Node, fill: int = 0) -> list[tuple[int, int]] | None:
    """(before, after) for each axis of a Pad with `fill`; None when they vary or other values are filled in."""
    source = node.inputs[0]
    dims = rank(source)
    amounts = constant(node.inputs[1])
    if dims is None or amounts is None or text(node, "mode", "constant") != "constant":
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        value = constant(node.inputs[2])
        if value is None or (value != fill).any():
            return None
    elif fill:
        return None
    axes = np.arange(dims)
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        given = constant(node.inputs[3])
        if given is None:
            return None
        axes = given.astype(np.int64) % dims
    before, after = amounts.reshape(2, -1).astype(np.int64)
    pads = [(0, 0)] * dims
    for axis, b, a in zip(axes.tolist(), before.tolist(), after.tolist(), strict=True):
        pads[axis] = (b, a)
    return pads


def _fold(graph: ir.Graph, pad: ir.Node) -> bool:
    conv = only_user(pad.outputs[0])
    source = pad.inputs[0]
    if (
        conv is None
        or source is None
        or not is_op(conv, "Conv")
        or conv.inputs[0] is not pad.outputs[0]
    ):
        return False
    amounts = pads_per_axis(pad)
    if amounts is None or "auto_pad" in conv.attributes:
        return False
    if any(any(p) for p in amounts[:2]) or any(min(p) < 0 for p in amounts):
        return False
    added = [b for b, _ in amounts[2:]] + [a for _, a in amounts[2:]]
    own = integers(conv, "pads") or [0] * len(added)
    pads = [x + y for x, y in zip(own, added, strict=True)]
    conv.attributes["pads"] = ir.AttrInt64s("pads", pads)
    lineage.fold_into(pad, conv)
    replace(pad.outputs[0], source)
    graph.remove(pad, safe=True)
    return True
