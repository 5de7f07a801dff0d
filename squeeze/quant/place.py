"""Which nodes are computed in int8 and which tensors therefore get Q/DQ, so that ONNX Runtime fuses all of them.

weighted  Conv, Gemm, MatMul with constant weights: always; they are the reason for everything else. The input is
          quantised, and the output too, but for Gemm and MatMul whose reader is float (the last layer).
joining   Add, Mul, Concat of activations; averaging pools; Sigmoid, LeakyRelu, and a Relu that no quantiser absorbs:
          when all inputs are quantised anyway, and somebody reads the output in int8 (pools: in any case, because
          they make the tensor small).
passing   MaxPool, Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Slice, Split, Pad, DepthToSpace, Resize to the
          nearest: the integers are only moved, so that the output has the scale of the input.
absorbed  Relu, and Clip over a range that holds 0, whose input nobody else reads: the saturation of the quantiser does
          the same.
float     everything else, and what would be an island: int8 between float neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import onnx_ir as ir

from squeeze.graph.values import constant, integer, is_op, only_user, real, text

WEIGHTED = ("Conv", "Gemm", "MatMul")
POOLS = ("AveragePool", "GlobalAveragePool")
JOINING = ("Add", "Concat", "LeakyRelu", "Mul", "Relu", "Sigmoid", *POOLS)
PASSING = (
    "DepthToSpace",
    "Flatten",
    "MaxPool",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
SHRINKING = (*POOLS, "MaxPool")


@dataclass
class Placement:
    """The nodes that are computed in int8, in order, and the activations that are quantised for them."""

    nodes: list[ir.Node] = field(default_factory=list)
    # Quantised value -> the value the quantiser reads: the same, or what an absorbed activation reads.
    sources: dict[ir.Value, ir.Value] = field(default_factory=dict)
    # Quantised value -> the one whose scale it shares: itself, or the input of passing nodes before it.
    roots: dict[ir.Value, ir.Value] = field(default_factory=dict)
    # Reason -> how many nodes stay float for it.
    left: Counter[str] = field(default_factory=Counter)


def place(graph: ir.Graph, keep_float: Collection[str] = ()) -> Placement:
    """Decides for every node of a float graph whose types are inferred.

    keep_float: first outputs of nodes that stay float whatever they are, see `squeeze.quant.keep`.
    """
    found = Placement()
    chosen = _choose(graph, found.left, keep_float)
    for node in graph:
        if node not in chosen:
            continue
        found.nodes.append(node)
        inputs = activations(node)
        for value in inputs:
            found.sources.setdefault(value, value)
            found.roots.setdefault(value, value)
        passing = is_op(node, *PASSING)
        for result in _quantised_outputs(node, chosen):
            found.sources[result] = result if passing else node.outputs[0]
            found.roots[result] = found.roots[inputs[0]] if passing else result
    return found


def activations(node: ir.Node) -> list[ir.Value]:
    """The inputs of a node that are quantised as activations: not weights, not shapes."""
    count = len(node.inputs) if is_op(node, "Add", "Concat", "Mul") else 1
    return [value for value in node.inputs[:count] if value is not None]


def _quantised_outputs(node: ir.Node, chosen: set[ir.Node]) -> list[ir.Value]:
    """What is quantised behind a chosen node; nothing for a product that only float nodes read."""
    ends = _ends(node)
    last = is_op(node, "Gemm", "MatMul") and not any(user in chosen for user, _ in ends[0].uses())
    return [] if last else ends


def _ends(node: ir.Node) -> list[ir.Value]:
    """The outputs of a node, or that of the last activation behind it which a quantiser can absorb."""
    if is_op(node, *PASSING):
        return list(node.outputs)  # they have the scale of the input, which saturates elsewhere
    return [_absorbed_values(node)[-1]]


def _absorbed_values(node: ir.Node) -> list[ir.Value]:
    """The output of a node, then that of each activation behind it which a quantiser can absorb."""
    values = [node.outputs[0]]
    while (user := only_user(values[-1])) is not None and _saturates(user, values[-1]):
        values.append(user.outputs[0])
    return values


def _choose(graph: ir.Graph, left: Counter[str], keep_float: Collection[str]) -> set[ir.Node]:
    refused = {node: why for node in graph if (why := _refusal(node)) is not None}
    refused |= {
        node: f"{node.op_type}: kept float"
        for node in graph
        if node.outputs and node.outputs[0].name in keep_float
    }
    chosen = {node for node in graph if is_op(node, *WEIGHTED) and node not in refused}
    needed = {node.inputs[0] for node in chosen}  # quantised whatever else happens
    made = {value for node in chosen for value in _ends(node)}
    for node in graph:
        if node in chosen or node in refused or not is_op(node, *JOINING, *PASSING):
            continue
        if all(value in made or value in needed for value in activations(node)):
            chosen.add(node)
            made.update(_ends(node))
    for node in reversed(list(graph)):
        if node in chosen and not is_op(node, *WEIGHTED, *SHRINKING):
            users = {user for value in _ends(node) for user, _ in value.uses()}
            if not users & chosen:
                chosen.remove(node)
                left[f"{node.op_type}: nobody reads it in int8"] += 1
    left.update(why for node, why in refused.items() if is_op(node, *WEIGHTED))
    for node in graph:
        if not is_op(node, *WEIGHTED, *JOINING, *PASSING, "Clip"):
            left[f"{node.op_type}: the runtime has no int8 kernel for it"] += 1
    return chosen


def _saturates(node: ir.Node, value: ir.Value) -> bool:
    if is_op(node, "Relu"):
        return True
    if not is_op(node, "Clip") or node.inputs[0] is not value:
        return False
    least, most = (node.inputs[i] if len(node.inputs) > i else None for i in (1, 2))
    low, high = constant(least), constant(most)
    if (least is not None and low is None) or (most is not None and high is None):
        return False
    return (low is None or float(low.item()) <= 0) and (high is None or float(high.item()) >= 0)


def _refusal(node: ir.Node) -> str | None:
    """Why a node of a type that could be int8 is not; None when it may be, or when its type never is."""
    if not is_op(node, *WEIGHTED, *JOINING, *PASSING):
        return None
    if any(v.dtype != ir.DataType.FLOAT for v in (*activations(node), node.outputs[0])):
        return f"{node.op_type}: not float32"
    if any(constant(v) is not None for v in activations(node)):
        return f"{node.op_type}: an operand is constant"
    if is_op(node, *WEIGHTED):
        return _weights_refusal(node)
    if is_op(node, "Pad") and text(node, "mode", "constant") == "constant" and not _pads_zero(node):
        return "Pad: it fills in other values than 0"
    if is_op(node, "MaxPool") and len(node.outputs) > 1:
        return "MaxPool: its indices are used"
    if is_op(node, "Resize") and text(node, "mode", "nearest") != "nearest":
        return "Resize: it interpolates"
    return None


def _weights_refusal(node: ir.Node) -> str | None:
    weights = constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if weights is None or (bias is not None and constant(bias) is None):
        return f"{node.op_type}: its weights are computed"
    if is_op(node, "MatMul") and weights.ndim != 2:
        return "MatMul: its weights are not a matrix"
    if is_op(node, "Gemm"):
        factors = (real(node, "alpha", 1.0), real(node, "beta", 1.0))
        outputs = weights.shape[0 if integer(node, "transB", 0) else 1]
        contents = constant(bias)
        if integer(node, "transA", 0) or factors != (1.0, 1.0):
            return "Gemm: transA, alpha or beta"
        if contents is not None and contents.shape != (outputs,):
            return "Gemm: its bias is not one number per output"
    return None


def _pads_zero(node: ir.Node) -> bool:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    value = constant(node.inputs[2])
    return value is not None and not value.any()
