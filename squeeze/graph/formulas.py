"""Functions of the graph as formulas, and their values for each of 256 bytes.

ONNX Runtime computes them, so that each elementwise operator works and the numbers are the ones that the graph would
have given. Quantisers inside, as tools put them around each operator, are left out of what is computed (`formula_of`):
that is nearer to what the writer of the float model meant, and it is what a runtime computes fast.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import runtimes
from squeeze.graph.files import to_bytes
from squeeze.graph.functions import QUANTISERS, Function, is_quantised, number
from squeeze.graph.qdq import Grid, grid_of
from squeeze.graph.values import is_op
from squeeze.ops.body import Body
from squeeze.ops.formula import Attribute, Formula, Number, Step

# Without the quantisers inside, a result may move by so many of its steps; where it moves further they stay.
MOST_MOVED = 3

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def applied(function: Function, x: NDArray[np.generic]) -> Bytes:
    """The function of each number of x [k], real numbers or integers as its start is, every quantiser included."""
    return values_of(exact(function), x, function.grid, function.opset)


def formula_of(function: Function, x: Grid) -> tuple[Formula, Bytes]:
    """The float function of numbers on the grid `x`, and its table: y for each of 256 bytes.

    Quantisers inside are left out. What one of them cuts off is clipped instead: tools leave out a Clip whose work the
    quantiser behind it does. Where that moves a result by more than MOST_MOVED steps, they stay.
    """
    real = x.numbers()
    starts_real = not is_quantised(function.start)
    wanted = applied(function, real if starts_real else np.arange(256, dtype=np.uint8))
    formula = _float_form(function, real)
    table = values_of(formula, real, function.grid, function.opset)
    if np.abs(table.astype(np.int64) - wanted).max() > MOST_MOVED:
        formula = exact(function, from_real=True)
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
    found = _run(body, result, x, opset)
    return found.astype(np.uint8, copy=False)


def exact(function: Function, *, from_real: bool = False) -> Formula:
    """Every node but the last quantiser. `from_real`: x is real numbers also where the function begins at integers."""
    if from_real and is_quantised(function.start):
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
        ):  # the least of a Clip: no other operator leaves out an input in the middle
            inputs.append(Number("float32", float("-inf")))
            continue
        operand = places[value] if value in places else number(value)
        assert operand is not None  # _is_elementwise
        inputs.append(operand)
    attributes = tuple(sorted((name, _attribute(a)) for name, a in node.attributes.items()))
    return Step(node.op_type, tuple(inputs), attributes)


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
    found = _run(body, result, x, opset)
    return found.astype(np.float32, copy=False)


def _run(body: Body, result: ir.Value, x: NDArray[np.generic], opset: int) -> NDArray[np.generic]:
    source = body.inputs["x"]
    source.type, source.shape = ir.TensorType(ir.DataType.from_numpy(x.dtype)), ir.Shape([x.size])
    result.shape = ir.Shape([x.size])
    graph = ir.Graph([source], [result], nodes=body.nodes, opset_imports={"": opset}, name="f")
    session = runtimes.session(to_bytes(ir.Model(graph, ir_version=9)), optimise=False)
    found: NDArray[np.generic] = session.run(None, {"x": x})[0]
    return found
