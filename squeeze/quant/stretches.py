"""Stretches of float operators between two int8 tensors: quantised on both sides, nothing quantised inside.

    Conv -> Q -> DQ -> Sigmoid, Mul -> Q -> DQ -> Conv

The runtime computes such a stretch in float and everything around it in int8; our lowering makes a table of it. Each
operator in int8 for itself would round in between, and be slower on both.

Cases: elementwise functions of one tensor, however they are written (HardSwish, x * Sigmoid(x), Gelu with Erf, PRelu,
       Tanh, arithmetic with constants that leave the shape as it is): the longest chain that nobody reads in between.
       One operator that has no int8 kernel: Resize that interpolates, SpaceToDepth, GlobalMaxPool, reflected Pad.
Left:  one Relu, LeakyRelu or Sigmoid alone, for which the runtime has int8 kernels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from squeeze.graph.functions import ELEMENTWISE, ancestors, within_reach
from squeeze.graph.values import constant, is_op, rank

FLOAT_ONLY = ("GlobalMaxPool", "Pad", "Resize", "SpaceToDepth")
_FUNCTIONS = tuple(
    op for op in ELEMENTWISE if op not in ("DequantizeLinear", "Identity", "QuantizeLinear")
)


@dataclass(frozen=True)
class Stretch:
    """`nodes`, in order, compute the output of the last one from `start` and constants; nobody reads in between."""

    start: ir.Value
    nodes: tuple[ir.Node, ...]

    @property
    def end(self) -> ir.Value:
        """What it computes."""
        return self.nodes[-1].outputs[0]


def stretch(start: ir.Value, taken: Collection[ir.Node]) -> Stretch | None:
    """The longest elementwise function of `start` without nodes that are `taken`; None when there is none."""
    if start.dtype != ir.DataType.FLOAT:
        return None
    inside = within_reach(
        start,
        lambda node, reached: node not in taken and _is_elementwise(node, start, reached),
    )
    found = [s for end in inside if (s := _closed(start, end, inside)) is not None]
    return max(found, key=lambda s: len(s.nodes), default=None)


def alone(node: ir.Node) -> Stretch | None:
    """The stretch of one node of a kind that has no int8 kernel; None for other nodes."""
    source = node.inputs[0] if node.inputs else None
    if source is None or not is_op(node, *FLOAT_ONLY) or len(node.outputs) != 1:
        return None
    if source.dtype != ir.DataType.FLOAT or constant(source) is not None:
        return None
    return Stretch(source, (node,))


def _is_elementwise(node: ir.Node, start: ir.Value, reached: Collection[ir.Value]) -> bool:
    if not is_op(node, *_FUNCTIONS) or len(node.outputs) != 1:
        return False
    if node.outputs[0].dtype != ir.DataType.FLOAT or node.graph is not _graph_of(start, node):
        return False
    if node.attributes and any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values()):
        return False
    return all(v is None or v in reached or _keeps_shape(v, start) for v in node.inputs)


def _graph_of(start: ir.Value, node: ir.Node) -> object:
    """The graph that `start` is in: a body that captures it is another one."""
    made = start.producer()
    return made.graph if made is not None else node.graph


def _keeps_shape(value: ir.Value, start: ir.Value) -> bool:
    """Whether arithmetic of `start` with this constant has the shape of `start`."""
    number = constant(value)
    dims = rank(start)
    if number is None:
        return False
    if dims is None or start.shape is None or number.ndim > dims:
        return number.ndim == 0
    sizes = start.shape[dims - number.ndim :]
    return all(size in (1, given) for size, given in zip(number.shape, sizes, strict=True))


def _closed(start: ir.Value, end: ir.Node, inside: Collection[ir.Node]) -> Stretch | None:
    """The nodes that `end` depends on, when nobody else reads what they make."""
    nodes = ancestors(end, inside)
    within = {n.outputs[0] for n in nodes if n is not end}
    if any(v.is_graph_output() or any(u not in nodes for u, _ in v.uses()) for v in within):
        return None
    return Stretch(start, tuple(nodes))
