"""How one operator is written: in int8 or in floats, and which activation behind it it takes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Params
from squeeze.tflite.writing import Writing

# The schema's numbers of fused activations, and what they cut to.
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
_CUTS = {"RELU": (0.0, np.inf), "RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0)}


@dataclass(frozen=True)
class Plan:
    """output: what the operator makes, or the activation that it takes in. params: of int8, None in floats."""

    output: str
    activation: str
    params: Params | None

    @property
    def fused(self) -> int:
        return ACTIVATIONS[self.activation]


def plan(
    w: Writing,
    node: Node,
    inputs: Sequence[str],
    *,
    fuse: bool = False,
    int8: bool = True,
    bounded: Params | None = None,
) -> Plan:
    """inputs: all that would have to be int8. fuse: whether the TFLite operator has activations. int8: whether it has
    an int8 kernel that can do it, weights included. bounded: params for an output that nobody quantises, since its
    range is known."""
    int8 = int8 and all(w.operand_params(name) is not None for name in inputs)
    if fuse and (after := _activation_behind(w, node)) is not None:
        low, high = limits(w, after)
        params = w.wanted(after.outputs[0]) if int8 else None
        name = cut_by(params, low, high)
        if name is not None and (params is not None or w.wanted(node.outputs[0]) is None):
            w.done.add(after)
            return _chosen(w, node, Plan(after.outputs[0], name, params))
    params = (w.wanted(node.outputs[0]) or bounded) if int8 else None
    return _chosen(w, node, Plan(node.outputs[0], "NONE", params))


def _chosen(w: Writing, node: Node, chosen: Plan) -> Plan:
    if chosen.params is None and any(w.params(name) is not None for name in node.inputs if name):
        w.in_float.append(node.name)
    return chosen


def _activation_behind(w: Writing, node: Node) -> Node | None:
    readers = w.graph.readers.get(node.outputs[0], [])
    if len(readers) != 1 or node.outputs[0] in w.graph.outputs:
        return None
    return readers[0] if readers[0].op in ("Relu", "Clip") and not readers[0].domain else None


def limits(w: Writing, node: Node) -> tuple[float, float]:
    """Of a Relu or Clip."""
    if node.op == "Relu":
        return 0.0, np.inf
    low, high = node.attributes.get("min"), node.attributes.get("max")  # before opset 11
    if node.input(1):
        low = float(w.needed(node.input(1), "lower limit").reshape(()))
    if node.input(2):
        high = float(w.needed(node.input(2), "upper limit").reshape(()))
    return (-np.inf if low is None or low < -1e30 else low), (
        np.inf if high is None or high > 1e30 else high
    )


def cut_by(params: Params | None, low: float, high: float) -> str | None:
    """The activation that cuts to these limits; with int8, NONE where the range of its codes does it already. None
    where TFLite has none."""
    if params is None:
        if low == -np.inf and high == np.inf:
            return "NONE"
        return next((name for name, cut in _CUTS.items() if cut == (low, high)), None)
    wanted = _codes(params, low, high)
    for name, cut in {"NONE": (-np.inf, np.inf), **_CUTS}.items():
        if _codes(params, *cut) == wanted:
            return name
    return None


def _codes(params: Params, low: float, high: float) -> tuple[int, int]:
    lowest = -128 if low == -np.inf else max(-128, min(127, params.code(low)))
    highest = 127 if high == np.inf else max(-128, min(127, params.code(high)))
    return lowest, highest
