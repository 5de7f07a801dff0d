"""Elementwise functions of one quantised tensor: finding them in the graph, and their values for each of 256 bytes.

A function is whatever lies between a tensor and a QuantizeLinear: Relu, Clip, Sigmoid, x * Sigmoid(x), Gelu written
out as Erf and products, also with quantisers in between. It is not matched by name but computed by ONNX Runtime, so
that each elementwise operator works and the numbers are the ones that the graph would have given.

Quantisers inside, as tools put them around each operator, are left out of the function that is computed (`formula_of`):
that is nearer to what the writer of the float model meant, and it is what a runtime computes fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import runtimes
from squeeze.graph.files import to_bytes
from squeeze.graph.qdq import Grid, grid_of
from squeeze.graph.values import constant, is_op, producer
from squeeze.ops.body import Body
from squeeze.ops.formula import Attribute, Formula, Number, Step

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
# Without the quantisers inside, a result may move by so many of its steps; where it moves further they stay.
MOST_MOVED = 3

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


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
        names = [n.op_type for n in self.nodes if not is_op(n, *QUANTISERS)]
        return " and ".join(dict.fromkeys(names)) or "another scale"

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

    def apply(self, x: NDArray[np.generic]) -> Bytes:
        """The function of each number of x [k], real numbers or integers as `start` is, every quantiser included."""
        return values_of(_exact(self), x, self.grid, self.opset)


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


def formula_of(function: Function, x: Grid) -> tuple[Formula, Bytes]:
    """The float function of numbers on the grid `x`, and its table: y for each of 256 bytes.

    Quantisers inside are left out. What one of them cuts off is clipped instead: tools leave out a Clip whose work the
    quantiser behind it does. Where that moves a result by more than MOST_MOVED steps, they stay.
    """
    real = x.numbers()
    starts_real = not _is_quantised(function.start)
    wanted = function.apply(real if starts_real else np.arange(256, dtype=np.uint8))
    formula = _float_form(function, real)
    table = values_of(formula, real, function.grid, function.opset)
    if np.abs(table.astype(np.int64) - wanted).max() > MOST_MOVED:
        formula = _exact(function, from_real=True)
        table = values_of(formula, real, function.grid, function.opset)
    clips = all(step.op_type in ("Relu", "Clip") for step in formula.steps)
    if formula.steps and clips and function.grid == x:
        formula = Formula(formula.steps, on_integers=True)
    return formula, table


def values_of(formula: Formula, x: NDArray[np.generic], y: Grid, opset: int) -> Bytes:
    """The formula of each number of x [k], quantised to `y`."""
    body = Body(["x"])
    scale, zero_point = (body.constant(part) for part in y.constants())
    last = formula.results(body, body.inputs["x"])[-1]
    result = body.add("QuantizeLinear", last, scale, zero_point)
    result.type = ir.TensorType(ir.DataType.UINT8)
    (found,) = _run(body, [result], x, opset)
    return found.astype(np.uint8, copy=False)


def number(value: ir.Value | None) -> Number | None:
    """A constant of one value, also one that is stored quantised, a half as float32; None for everything else."""
    array = constant(value)
    dequantise = producer(value, "DequantizeLinear")
    if array is None and dequantise is not None:
        stored, grid = constant(dequantise.inputs[0]), grid_of(dequantise)
        if stored is None or grid is None or stored.size != 1:
            return None
        steps = np.float32(int(stored.item()) - grid.zero_point)
        array = np.asarray(steps * np.float32(grid.scale), np.float32)
    if array is None or array.size != 1:
        return None
    wide = array.astype(np.float32) if array.dtype == np.float16 else array
    return Number(str(wide.dtype), wide.item())


def _is_elementwise(node: ir.Node, reached: Mapping[ir.Value, None]) -> bool:
    if not is_op(node, *ELEMENTWISE) or len(node.outputs) != 1:
        return False
    if any(a.type not in _ATTRIBUTES for a in node.attributes.values()):
        return False
    if is_op(node, *QUANTISERS):
        return node.inputs[0] in reached and grid_of(node) is not None
    return all(
        v is None or number(v) is not None or (v in reached and not _is_quantised(v))
        for v in node.inputs
    )


def _is_quantised(value: ir.Value) -> bool:
    """Whether it is integers: only a DequantizeLinear makes numbers of them."""
    made = producer(value, "QuantizeLinear") is not None
    return made or value.dtype in (ir.DataType.UINT8, ir.DataType.INT8)


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


def _exact(function: Function, *, from_real: bool = False) -> Formula:
    """Every node but the last quantiser. `from_real`: x is real numbers also where the function begins at integers."""
    if from_real and _is_quantised(function.start):
        readers = {n.outputs[0]: 0 for n in function.nodes if n.inputs[0] is function.start}
    else:
        readers = {function.start: 0}
    steps: list[Step] = []
    for node in function.nodes[:-1]:
        if node.outputs[0] not in readers:
            steps.append(_step(node, readers))
            readers[node.outputs[0]] = len(steps)
    return Formula(tuple(steps))


def _float_form(function: Function, real: Floats) -> Formula:
    """The nodes without quantisers; with a Clip for each that cuts off by more than a step of its own."""
    places: dict[ir.Value, int] = {function.start: 0}
    steps: list[Step] = []
    for node in function.nodes[:-1]:
        source, result = node.inputs[0], node.outputs[0]
        if is_op(node, "Identity", *QUANTISERS):
            assert source is not None
            places[result] = places[source]
        else:
            steps.append(_step(node, places))
            places[result] = len(steps)
        if is_op(node, "QuantizeLinear"):
            grid = grid_of(node)
            assert grid is not None  # _is_elementwise
            low, high = (grid.real(end) for end in (grid.least, grid.most))
            found = _last(Formula(tuple(steps[: places[result]])), real, function.opset)
            if found.min() < low - grid.scale or found.max() > high + grid.scale:
                ends = (Number("float32", low), Number("float32", high))
                steps.append(Step("Clip", (places[result], *ends)))
                places[result] = len(steps)
    return Formula(tuple(steps))


def _step(node: ir.Node, places: Mapping[ir.Value, int]) -> Step:
    inputs: list[int | Number] = []
    given = [i for i, value in enumerate(node.inputs) if value is not None]
    for value in node.inputs[: max(given) + 1]:
        if (
            value is None
        ):  # the least of a Clip: nothing else has an input in the middle that may be absent
            inputs.append(Number("float32", float("-inf")))
            continue
        operand = places[value] if value in places else number(value)
        assert operand is not None  # _is_elementwise
        inputs.append(operand)
    attributes = tuple(sorted((name, _attribute(a)) for name, a in node.attributes.items()))
    return Step(node.op_type, tuple(inputs), attributes)


_ATTRIBUTES = (ir.AttributeType.FLOAT, ir.AttributeType.INT, ir.AttributeType.STRING)


def _attribute(attribute: ir.Attr) -> Attribute:
    if attribute.type == ir.AttributeType.FLOAT:
        return attribute.as_float()
    return attribute.as_int() if attribute.type == ir.AttributeType.INT else attribute.as_string()


def _last(formula: Formula, x: Floats, opset: int) -> Floats:
    """The float result for each number of x [k]."""
    if not formula.steps:
        return x
    body = Body(["x"])
    result = formula.results(body, body.inputs["x"])[-1]
    result.type = ir.TensorType(ir.DataType.FLOAT)
    (found,) = _run(body, [result], x, opset)
    return found.astype(np.float32, copy=False)


def _run(
    body: Body, results: Sequence[ir.Value], x: NDArray[np.generic], opset: int
) -> list[NDArray[np.generic]]:
    source = body.inputs["x"]
    source.type, source.shape = ir.TensorType(ir.DataType.from_numpy(x.dtype)), ir.Shape([x.size])
    for result in results:
        result.shape = ir.Shape([x.size])
    graph = ir.Graph([source], results, nodes=body.nodes, opset_imports={"": opset}, name="f")
    session = runtimes.session(to_bytes(ir.Model(graph, ir_version=9)), optimise=False)
    found: list[NDArray[np.generic]] = session.run(None, {"x": x})
    return found
