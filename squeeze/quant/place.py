"""Which nodes are computed in int8 and which tensors therefore get Q/DQ, so that ONNX Runtime fuses all of them.

weighted  Conv, Gemm, MatMul with constant weights: always; they are the reason for everything else. The input is
          quantised, and the output too, but for Gemm and MatMul whose reader is float (the last layer).
both      MatMul of two activations (`activation_products`), where that is asked for. Both inputs are quantised, and the
          output as that of a weighted MatMul.
joining   Add, Mul, Concat of activations; averaging pools; Sigmoid, LeakyRelu, and a Relu that no quantiser absorbs:
          when all inputs are quantised anyway (Concat: one of them), and somebody reads the output in int8 (pools: in
          any case, because they make the tensor small).
passing   MaxPool, ReduceMax, Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Slice, Split, Pad, DepthToSpace, Expand,
          Tile, Gather by constants, Resize to the nearest: the integers are only moved, so that the output has the
          scale of the input.
stretch   functions of one tensor that the runtime computes in float, see `stretches`: quantised on both sides, when the
          tensor is int8 and somebody reads the result in int8. What Gemm and MatMul make for them alone stays float,
          which the runtime has kernels for.
absorbed  Relu, and Clip over a range that holds 0, whose input nobody else reads: the saturation of the quantiser does
          the same.
float     everything else, and what would be an island: int8 between float neighbours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import constant, integer, is_op, only_user, real, text
from squeeze.quant.activation_products import is_activation_product, refusal
from squeeze.quant.stretches import FLOAT_ONLY, Stretch, alone, stretch

WEIGHTED = ("Conv", "Gemm", "MatMul")
POOLS = ("AveragePool", "GlobalAveragePool")
JOINING = ("Add", "Concat", "LeakyRelu", "Mul", "Relu", "Sigmoid", *POOLS)
PASSING = (
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)
SHRINKING = (*POOLS, "MaxPool", "ReduceMax")
PRODUCTS_OF_MATRICES = ("Gemm", "MatMul")
PRODUCTS_OFF = "MatMul: of two activations, which is int8 only where that was timed to be faster"
# The runtime has an int8 kernel for one of these alone.
OWN_KERNEL = ("LeakyRelu", "Relu", "Sigmoid")


@dataclass
class Placement:
    """The nodes that are computed in int8, in order, and the activations that are quantised for them.

    Of a stretch, `nodes` has the last node alone.
    """

    nodes: list[ir.Node] = field(default_factory=list)
    # Quantised value -> the value the quantiser reads: the same, or what an absorbed activation reads.
    sources: dict[ir.Value, ir.Value] = field(default_factory=dict)
    # Quantised value -> the one whose scale it shares: itself, or the input of passing nodes before it.
    roots: dict[ir.Value, ir.Value] = field(default_factory=dict)
    # Last node -> the stretch that it ends.
    stretches: dict[ir.Node, Stretch] = field(default_factory=dict)
    # Node that stays float -> why.
    left: dict[ir.Node, str] = field(default_factory=dict)


def place(
    graph: ir.Graph,
    float_outputs: Collection[str] = (),
    *,
    activation_products: bool = False,
    integer_outputs: bool = False,
) -> Placement:
    """Decides for every node of a float graph whose types are inferred.

    float_outputs: first outputs of nodes that stay float whatever they are, see `squeeze.quant.keep`.
    activation_products: products of two activations are int8 too. integer_outputs: what the graph gives is quantised as
    well, so that nothing is left over for floats where the device has none, and averages keep the scale that they read.
    """
    choice = _Choice(graph, float_outputs, activation_products, integer_outputs)
    found = Placement(left=choice.left)
    for node in graph:
        if node not in choice.chosen:
            continue
        found.nodes.append(node)
        if (part := choice.stretches.get(node)) is not None:
            found.stretches[node] = part
        else:
            for value in activations(node):
                found.sources.setdefault(value, value)
                found.roots.setdefault(value, value)
        passing = choice.is_passing(node)
        for result in choice.quantised_outputs(node):
            found.sources[result] = result if passing else node.outputs[0]
            found.roots[result] = found.roots[activations(node)[0]] if passing else result
    return found


def activations(node: ir.Node) -> list[ir.Value]:
    """The inputs of a node that are quantised as activations: not weights, not shapes."""
    several = is_op(node, "Add", "Concat", "Mul") or is_activation_product(node)
    count = len(node.inputs) if several else 1
    return [value for value in node.inputs[:count] if value is not None]


def has_weights(node: ir.Node) -> bool:
    """Whether a node that is computed in int8 has constant weights."""
    return is_op(node, *WEIGHTED) and not is_activation_product(node)


class _Choice:
    """What is computed in int8: `chosen` nodes, of a stretch its last one; `stretches` by that; why others are not."""

    def __init__(
        self,
        graph: ir.Graph,
        float_outputs: Collection[str],
        activation_products: bool,
        integer_outputs: bool,
    ) -> None:
        self._integer_outputs = integer_outputs
        self.left: dict[ir.Node, str] = {}
        self.stretches: dict[ir.Node, Stretch] = {}
        self._owner: dict[ir.Node, ir.Node] = {}  # node inside of a stretch -> the last node of it
        self._kept = {n for n in graph if n.outputs and n.outputs[0].name in float_outputs}
        self._refused = {
            node: why for node in graph if (why := _refusal(node, activation_products)) is not None
        }
        self._refused |= {node: f"{node.op_type}: kept float" for node in self._kept}
        self.chosen = {n for n in graph if is_op(n, *WEIGHTED) and n not in self._refused}
        self._forwards(graph)
        self._backwards(graph)
        self._count(graph)

    def is_passing(self, node: ir.Node) -> bool:
        """Whether the outputs of a chosen node have the scale of its input."""
        # An NPU averages at the scale of what it reads; another one costs it a pass of its own.
        pools = POOLS if self._integer_outputs else ()
        return is_op(node, *PASSING, *pools) and node not in self.stretches

    def quantised_outputs(self, node: ir.Node) -> list[ir.Value]:
        """What is quantised behind a chosen node; nothing for a product that only float nodes and stretches read."""
        ends = self._ends(node)
        if self._integer_outputs or not is_op(node, *PRODUCTS_OF_MATRICES):
            return ends
        readers = {user for user, _ in ends[0].uses()}
        is_read = any(u in self.chosen and u not in self._owner for u in readers)
        return ends if is_read else []

    def _ends(self, node: ir.Node) -> list[ir.Value]:
        """The outputs of a node, or that of the last activation behind it which a quantiser can absorb."""
        if self.is_passing(node):
            return list(node.outputs)  # they have the scale of the input, which saturates elsewhere
        return [_absorbed_values(node, self._kept)[-1]]

    def _forwards(self, graph: ir.Graph) -> None:
        """Takes what has int8 inputs."""
        needed: set[ir.Value | None] = {  # quantised whatever else happens
            value for node in self.chosen for value in activations(node)
        }
        made: set[ir.Value | None] = set()
        for node in graph:
            if self._owner.get(node, node) is not node:
                continue
            if node not in self.chosen and self._fits(node, made, needed):
                self.chosen.add(node)
            if node not in self.chosen:
                continue
            for value in self._ends(node):
                made.add(value)
                self._look_behind(value)

    def _fits(
        self, node: ir.Node, made: set[ir.Value | None], needed: set[ir.Value | None]
    ) -> bool:
        if node in self.stretches:
            return self.stretches[node].start in made
        if node in self._kept:
            return False
        if node in self._refused or (is_op(node, *FLOAT_ONLY) and not is_op(node, *PASSING)):
            part = alone(node)
            if part is None or part.start not in made:
                return False
            self._own(part)
            return True
        if not is_op(node, *JOINING, *PASSING):
            return False
        quantised = [value in made or value in needed for value in activations(node)]
        return (
            any(v in made for v in activations(node)) if is_op(node, "Concat") else all(quantised)
        )

    def _look_behind(self, value: ir.Value) -> None:
        """Finds the stretch that begins at an int8 value."""
        part = stretch(value, {*self._owner, *self.chosen, *self._kept})
        if part is None:
            return
        nodes = part.nodes
        while len(nodes) > 1 and _saturates(nodes[-1], last := nodes[-2].outputs[0]):
            if only_user(last) is not nodes[-1]:
                break
            nodes = nodes[:-1]  # the quantiser will do it
        if len(nodes) > 1 or not is_op(nodes[0], *OWN_KERNEL):
            self._own(Stretch(value, nodes))

    def _own(self, part: Stretch) -> None:
        last = part.nodes[-1]
        self.stretches[last] = part
        self._owner.update(dict.fromkeys(part.nodes, last))

    def _backwards(self, graph: ir.Graph) -> None:
        """Drops islands: what nobody reads in int8."""
        for node in reversed(list(graph)):
            if node not in self.chosen or is_op(node, *WEIGHTED, *SHRINKING):
                continue
            ends = self._ends(node)
            if self._integer_outputs and any(value.is_graph_output() for value in ends):
                continue
            users = {user for value in ends for user, _ in value.uses()}
            if {self._owner.get(u, u) for u in users} & self.chosen:
                continue
            self.chosen.remove(node)
            part = self.stretches.pop(node, None)
            for inner in part.nodes if part is not None else (node,):
                self._owner.pop(inner, None)
                if is_op(inner, *JOINING, *PASSING):
                    self.left[inner] = f"{inner.op_type}: nobody reads it in int8"

    def _count(self, graph: ir.Graph) -> None:
        self.left |= {node: w for node, w in self._refused.items() if is_op(node, *WEIGHTED)}
        for node in graph:
            if node not in self._owner and not is_op(node, *WEIGHTED, *JOINING, *PASSING, "Clip"):
                self.left[node] = f"{node.op_type}: the runtime has no int8 kernel for it"


def _absorbed_values(node: ir.Node, kept: Collection[ir.Node]) -> list[ir.Value]:
    """The output of a node, then that of each activation behind it which a quantiser can absorb, up to one of `kept`,
    which reads float numbers."""
    values = [node.outputs[0]]
    while (user := only_user(values[-1])) is not None and _saturates(user, values[-1]):
        if user in kept:
            break
        values.append(user.outputs[0])
    return values


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


def _refusal(node: ir.Node, activation_products: bool) -> str | None:
    """Why a node of a type that could be int8 is not; None when it may be, or when its type never is."""
    if not is_op(node, *WEIGHTED, *JOINING, *PASSING):
        return None
    if any(v.dtype != ir.DataType.FLOAT for v in (*activations(node), node.outputs[0])):
        return f"{node.op_type}: not float32"
    if any(constant(v) is not None for v in activations(node)):
        return _constant_operand(node)
    if is_activation_product(node):
        return refusal(node) if activation_products else PRODUCTS_OFF
    if is_op(node, *WEIGHTED):
        return _weights_refusal(node)
    if is_op(node, "Pad") and text(node, "mode", "constant") == "constant" and not _pads_zero(node):
        return "Pad: it fills in other values than 0"
    if is_op(node, "MaxPool") and len(node.outputs) > 1:
        return "MaxPool: its indices are used"
    if is_op(node, "Resize") and text(node, "mode", "nearest") != "nearest":
        return "Resize: it interpolates"
    if is_op(node, "Gather") and constant(node.inputs[1]) is None:
        return "Gather: its indices are computed"
    return None


def _constant_operand(node: ir.Node) -> str:
    if not is_op(node, "MatMul", "Gemm"):
        return f"{node.op_type}: an operand is constant"
    # The kernels in int8 have a scale for each column of the right one.
    return (
        f"{node.op_type}: its left operand is constant; int8 takes constants on the right: "
        "write W·x as x·W with W transposed, or as Gemm"
    )


def _weights_refusal(node: ir.Node) -> str | None:
    weights = constant(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if weights is None or (bias is not None and constant(bias) is None):
        return f"{node.op_type}: its weights are computed"
    if any(c is not None and not _finite(c) for c in (weights, constant(bias))):
        return f"{node.op_type}: its weights or its bias are not finite"
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


def _finite(numbers: NDArray[np.generic]) -> bool:
    return numbers.dtype.kind != "f" or bool(np.isfinite(numbers).all())


def _pads_zero(node: ir.Node) -> bool:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    value = constant(node.inputs[2])
    return value is not None and not value.any()
