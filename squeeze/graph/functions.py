"""Finds elementwise functions of one quantised tensor in the graph.

A function is whatever lies between a tensor and a QuantizeLinear: Relu, Clip, Sigmoid, x * Sigmoid(x), Gelu written
out as Erf and products, also with quantisers in between. It is not matched by name; `formulas` computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from squeeze.graph.qdq import Grid, grid_of, real_constant
from squeeze.graph.values import is_op, producer
from squeeze.ops.formula import Number

ELEMENTWISE = (
    "Abs",
    "Add",
    "Celu",
    "Clip",
    "DequantizeLinear",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "QuantizeLinear",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
)
QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
NOTHING = "another scale"  # what a function without operators does
_ATTRIBUTES = (ir.AttributeType.FLOAT, ir.AttributeType.INT, ir.AttributeType.STRING)


@dataclass(frozen=True)
class Function:
    """`nodes`, in order, compute `end` (u8, on `grid`) number by number from `start`."""

    start: ir.Value
    nodes: tuple[ir.Node, ...]
    end: ir.Node  # a QuantizeLinear
    grid: Grid

    @property
    def words(self) -> str:
        """What a user would call it."""
        names = [n.op_type for n in self.nodes if not is_op(n, *QUANTISERS)]
        return " and ".join(dict.fromkeys(names)) or NOTHING

    @property
    def is_clip(self) -> bool:
        """Whether it is a chain of Relu and Clip alone, which commutes with rounding."""
        return all(is_op(n, "Relu", "Clip", "Identity", "QuantizeLinear") for n in self.nodes) and (
            sum(is_op(n, "QuantizeLinear") for n in self.nodes) == 1
        )

    @property
    def opset(self) -> int:
        """Of the graph that it stands in."""
        graph = self.end.graph
        return graph.opset_imports.get("", 1) if isinstance(graph, ir.Graph) else 1

    def behind(self, first: Function) -> Function:
        """`first` and then this one, which starts where it ends."""
        return Function(first.start, (*first.nodes, *self.nodes), self.end, self.grid)


def find(start: ir.Value, *, shared: bool = False) -> list[Function]:
    """All functions that begin at `start`, the shortest first; none when somebody else reads it, unless `shared`."""
    if start.is_graph_output() and not shared:
        return []
    inside = within_reach(start, _is_elementwise)
    found = []
    for end in inside:
        grid = grid_of(end) if is_op(end, "QuantizeLinear") else None
        if grid is None or grid.dtype != "uint8":
            continue
        nodes = ancestors(end, inside)
        values = [n.outputs[0] for n in nodes if n is not end] + ([] if shared else [start])
        if all(u in nodes for v in values for u, _ in v.uses()) and not any(
            v.is_graph_output() for v in values
        ):
            found.append(Function(start, tuple(nodes), end, grid))
    return sorted(found, key=lambda f: len(f.nodes))


def within_reach(
    start: ir.Value, takes: Callable[[ir.Node, Collection[ir.Value]], bool]
) -> dict[ir.Node, None]:
    """Readers of `start`, readers of what those make, and so on; `takes` is asked with the values reached so far."""
    reached: dict[ir.Value, None] = {start: None}
    inside: dict[ir.Node, None] = {}
    waiting = [start]
    while waiting:
        for user in dict.fromkeys(u for u, _ in waiting.pop().uses()):
            if user not in inside and takes(user, reached):
                inside[user] = None
                reached[user.outputs[0]] = None
                # A node with two inputs may have been looked at when only one was reached.
                waiting.extend(reached)
    return inside


def ancestors(end: ir.Node, inside: Collection[ir.Node]) -> list[ir.Node]:
    """The nodes of `inside` that `end` depends on, itself included, each after those it reads."""
    ordered: dict[ir.Node, None] = {}
    waiting: list[tuple[ir.Node, bool]] = [(end, False)]
    while waiting:
        node, is_read = waiting.pop()
        if is_read:
            ordered[node] = None
        elif node not in ordered:
            makers = [v.producer() for v in node.inputs if v is not None]
            waiting.append((node, True))
            waiting += [(m, False) for m in makers[::-1] if m is not None and m in inside]
    return list(ordered)


def number(value: ir.Value | None) -> Number | None:
    """A constant of one value, also one that is stored quantised, a half as float32; None for everything else."""
    array = real_constant(value)
    if array is None or array.size != 1:
        return None
    wide = array.astype(np.float32) if array.dtype == np.float16 else array
    return Number(str(wide.dtype), wide.item())


def _is_elementwise(node: ir.Node, reached: Collection[ir.Value]) -> bool:
    if not is_op(node, *ELEMENTWISE) or len(node.outputs) != 1:
        return False
    if any(a.type not in _ATTRIBUTES for a in node.attributes.values()):
        return False
    if is_op(node, *QUANTISERS):
        return node.inputs[0] in reached and grid_of(node) is not None
    return all(
        v is None or number(v) is not None or (v in reached and not is_quantised(v))
        for v in node.inputs
    )


def is_quantised(value: ir.Value) -> bool:
    """Whether it is integers: only a DequantizeLinear makes numbers of them."""
    made = producer(value, "QuantizeLinear") is not None
    return made or value.dtype in (ir.DataType.UINT8, ir.DataType.INT8)
