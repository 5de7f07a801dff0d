"""Elementwise functions of one quantised tensor: finding them in the graph, and their values for each of 256 bytes.

A function is whatever lies between a tensor and a QuantizeLinear: Relu, Clip, Sigmoid, x * Sigmoid(x), Gelu written
out as Erf and products, also with quantisers in between. It is not matched by name but computed by ONNX Runtime, so
that each elementwise operator works and the numbers are the ones that the graph would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import runtimes
from squeeze.graph.files import to_bytes
from squeeze.graph.qdq import Grid, grid_of
from squeeze.graph.values import constant, is_op

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


@dataclass(frozen=True)
class Function:
    """`nodes`, in order, compute `end` (u8, on `grid`) number by number from `start`, and nobody else reads `start`."""

    start: ir.Value
    nodes: tuple[ir.Node, ...]
    end: ir.Node  # a QuantizeLinear
    grid: Grid

    @property
    def words(self) -> str:
        """What a user would call it."""
        names = [
            n.op_type for n in self.nodes if not is_op(n, "QuantizeLinear", "DequantizeLinear")
        ]
        return " and ".join(dict.fromkeys(names)) or "another scale"

    @property
    def is_clip(self) -> bool:
        """Whether it is a chain of Relu and Clip alone, which commutes with rounding."""
        return all(is_op(n, "Relu", "Clip", "Identity", "QuantizeLinear") for n in self.nodes) and (
            sum(is_op(n, "QuantizeLinear") for n in self.nodes) == 1
        )

    def apply(self, x: NDArray[np.generic]) -> NDArray[np.uint8]:
        """The function of each number of x [k], which are real numbers or integers as `start` is."""
        return _evaluate(self.nodes, self.start, self.end.outputs[0], x)


def find(start: ir.Value) -> list[Function]:
    """All functions that begin at `start`, the shortest first; none when somebody else reads it."""
    if start.is_graph_output():
        return []
    reached: dict[ir.Value, None] = {start: None}
    inside: list[ir.Node] = []
    waiting = [start]
    while waiting:
        for user in dict.fromkeys(u for u, _ in waiting.pop().uses()):
            if user not in inside and _is_elementwise(user, reached):
                inside.append(user)
                reached[user.outputs[0]] = None
                # A node with two inputs may have been looked at when only one was reached.
                waiting.extend(reached)
    found = []
    for end in inside:
        grid = grid_of(end) if is_op(end, "QuantizeLinear") else None
        if grid is None or grid.dtype != "uint8":
            continue
        nodes = _ancestors(end, inside)
        values = [start, *(n.outputs[0] for n in nodes if n is not end)]
        if all(u in nodes for v in values for u, _ in v.uses()) and not any(
            v.is_graph_output() for v in values
        ):
            found.append(Function(start, tuple(nodes), end, grid))
    return sorted(found, key=lambda f: len(f.nodes))


def _is_elementwise(node: ir.Node, reached: dict[ir.Value, None]) -> bool:
    if not is_op(node, *ELEMENTWISE) or len(node.outputs) != 1 or "axis" in node.attributes:
        quantiser = is_op(node, "QuantizeLinear", "DequantizeLinear") and grid_of(node) is not None
        if not quantiser or len(node.outputs) != 1:
            return False
    for value in node.inputs:
        if value is None or value in reached:
            continue
        number = constant(value)
        if number is None or number.size != 1:
            return False
    return True


def _ancestors(end: ir.Node, inside: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes of `inside` that `end` depends on, itself included, each after those it reads."""
    ordered: list[ir.Node] = []

    def visit(node: ir.Node) -> None:
        if node in ordered or node not in inside:
            return
        for value in node.inputs:
            made = value.producer() if value is not None else None
            if made is not None:
                visit(made)
        ordered.append(node)

    visit(end)
    return ordered


def _evaluate(
    nodes: Sequence[ir.Node], start: ir.Value, end: ir.Value, x: NDArray[np.generic]
) -> NDArray[np.uint8]:
    graph_of_end = end.graph
    opsets = dict(graph_of_end.opset_imports) if isinstance(graph_of_end, ir.Graph) else {}
    source = ir.Value(name="x", shape=ir.Shape([x.size]))
    source.type = ir.TensorType(ir.DataType.from_numpy(x.dtype))
    copies: dict[ir.Value, ir.Value] = {start: source}
    constants: list[ir.Value] = []
    made: list[ir.Node] = []
    for i, node in enumerate(nodes):
        inputs: list[ir.Value | None] = []
        for j, value in enumerate(node.inputs):
            if value is not None and value not in copies:
                number = constant(value)
                assert number is not None  # _is_elementwise
                # One number keeps the shape of x, unless the operator wants a scalar and gets one.
                tensor = ir.tensor(number.reshape(()), name=f"c{i}_{j}")
                copy = ir.Value(name=f"c{i}_{j}", shape=ir.Shape([]), const_value=tensor)
                copy.type = ir.TensorType(tensor.dtype)
                constants.append(copy)
                copies[value] = copy
            inputs.append(None if value is None else copies[value])
        again = ir.Node("", node.op_type, inputs, node.attributes.values())
        again.outputs[0].name = f"v{i}"
        copies[node.outputs[0]] = again.outputs[0]
        made.append(again)
    result = copies[end]
    result.type, result.shape = ir.TensorType(ir.DataType.UINT8), ir.Shape([x.size])
    graph = ir.Graph(
        [source], [result], nodes=made, initializers=constants, opset_imports=opsets, name="f"
    )
    session = runtimes.session(to_bytes(ir.Model(graph, ir_version=9)), optimise=False)
    y: NDArray[np.uint8] = session.run(None, {"x": x})[0]
    return y
