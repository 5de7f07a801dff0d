"""Layer normalisation that was written in its parts, as exporters write it below opset 17 (Ba et al. 2016).

    (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + shift        over the last axis

It is the root mean square (`rms_norm`) of what the mean was taken off, with a row added.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from squeeze.graph.qdq import real_constant
from squeeze.graph.requantised import before, read_by
from squeeze.graph.rms_norm import MEANS, made_by, over_last, rms_norm
from squeeze.graph.values import Array, is_op, producer


@dataclass(frozen=True)
class LayerNorm:
    """What is normalised, scale and shift of its last axis, and the `nodes` that do it, without quantisers inside."""

    source: ir.Value
    scale: Array
    shift: Array
    epsilon: float
    nodes: frozenset[ir.Node]


def layer_norm(last: ir.Node) -> LayerNorm | None:
    """The normalisation that ends with the Add `last`, where nobody else reads what is in between."""
    if not is_op(last, "Add"):
        return None
    for given, row in (last.inputs, last.inputs[::-1]):
        shift, inner = real_constant(row), before(given)
        scaled = producer(inner, "Mul")
        if shift is None or inner is None or scaled is None or not read_by(inner, {last}):
            continue
        root = rms_norm(scaled)
        sub = None if root is None else producer(root.source, "Sub")
        if root is None or sub is None:
            continue
        x, mean = before(sub.inputs[0]), made_by(sub.inputs[1], *MEANS)
        if x is None or mean is None or before(mean.inputs[0]) is not x or not over_last(mean):
            continue
        nodes = root.nodes | {sub, mean, last}
        if read_by(sub.outputs[0], nodes) and read_by(mean.outputs[0], nodes):
            return LayerNorm(x, root.scale, shift, root.epsilon, nodes)
    return None
