"""Nodes whose results int8 is too coarse for, because of the function behind them, stay float: by numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from squeeze import graph, quant, runtimes
from squeeze.quant.control import Trials
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

CONSTANTS = {
    "u": np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1),
    "v": floats(8, 8, 1, 1, seed=1),
    "small": np.float32(1e-3),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "two": np.float32(2),
    "many": np.geomspace(1e-3, 1e-2, 8, dtype=np.float32).reshape(8, 1, 1),
}
LOG = [node("Add", ["r", "small"], ["a"]), node("Log", ["a"], ["f"])]
POSITIVE = np.random.default_rng(0).lognormal(0, 1.5, (64, 8, 6, 6)).astype(np.float32)
EVEN = np.random.default_rng(0).uniform(1, 2, (64, 8, 6, 6)).astype(np.float32)
PART = QuantPart(samples=64, observer="mse", bias_correction=False)


def behind_a_convolution(*function: onnx.NodeProto, last: bool = True) -> ir.Model:
    nodes = [node("Conv", ["x", "u"], ["c"]), node("Relu", ["c"], ["r"]), *function]
    nodes.append(node("Conv", ["f", "v"], ["y"]) if last else node("Identity", ["f"], ["y"]))
    return model(nodes, CONSTANTS, (8, 6, 6))


def int8(found: ir.Model, x: Array) -> quant.Quantised:
    passes = passes_of(found, x)
    return quant.quantize(found, passes, activations="uint8", part=PART, reduce_range=True)


def error(found: ir.Model, other: ir.Model, x: Array) -> float:
    """Of the output, as a share of its deviation."""
    wanted, got = (runtimes.run(runtimes.session(graph.to_bytes(m)), x) for m in (found, other))
    return float(np.sqrt(np.mean((got - wanted) ** 2)) / wanted.std())


def convolutions(found: ir.Model) -> list[bool]:
    """Whether each reads integers."""
    makers = [n.inputs[0].producer() for n in found.graph if n.op_type == "Conv" and n.inputs[0]]
    return [made is not None and made.op_type == "DequantizeLinear" for made in makers]


@pytest.mark.parametrize(
    "function",
    [
        LOG,
        [node("Add", ["r", "many"], ["a"]), node("Log", ["a"], ["f"])],
        [node("Add", ["r", "small"], ["a"]), node("Reciprocal", ["a"], ["f"])],
        [node("Add", ["r", "small"], ["a"]), node("Div", ["one", "a"], ["f"])],
        [node("Neg", ["r"], ["a"]), node("Exp", ["a"], ["f"])],
    ],
    ids=["log", "per-channel", "reciprocal", "div", "exp"],
)
def test_small_values_in_front_of_a_function_that_needs_them_stay_float(
    function: list[onnx.NodeProto],
) -> None:
    """Values that spread over factors of thousands, of which a step of 1 / 255 of the largest takes most."""
    found = behind_a_convolution(*function)
    result = int8(found, POSITIVE)
    assert convolutions(result.model) == [False, True]
    assert error(found, result.model, POSITIVE) < 0.1
    (note,) = [n for n in result.notes if n.name == "left float" and n.why.startswith("c: 8 bits")]
    assert note.numbers["error"] > 0.1


@pytest.mark.parametrize(
    "function",
    [
        LOG,
        [node("Div", ["one", "r"], ["f"])],
        [node("Pow", ["r", "half"], ["f"])],
        [node("Sqrt", ["r"], ["f"])],
    ],
    ids=["log", "div", "pow", "sqrt"],
)
def test_values_of_one_size_are_int8_in_front_of_the_same_functions(
    function: list[onnx.NodeProto],
) -> None:
    found = behind_a_convolution(*function)
    result = int8(found, EVEN)
    assert convolutions(result.model) == [True, True]
    assert error(found, result.model, EVEN) < 0.05


def test_a_sigmoid_written_with_a_division_is_int8() -> None:
    found = behind_a_convolution(
        node("Neg", ["c"], ["n"]),
        node("Exp", ["n"], ["e"]),
        node("Add", ["e", "one"], ["d"]),
        node("Div", ["one", "d"], ["f"]),
    )
    found.graph.remove([n for n in found.graph if n.op_type == "Relu"])
    x = floats(64, 8, 6, 6)
    result = int8(found, x)
    assert convolutions(result.model) == [True, True]
    assert error(found, result.model, x) < 0.05


def test_a_product_in_front_of_a_logarithm_stays_float_although_its_result_would() -> None:
    """The energies of a spectrum: weak bands are what is left of small integers."""
    nodes = [
        node("MatMul", ["x", "bands"], ["r"]),
        *LOG,
        node("MatMul", ["f", "w"], ["y"]),
    ]
    constants = {**CONSTANTS, "bands": np.eye(8, dtype=np.float32), "w": floats(8, 8)}
    found = model(nodes, constants, (8,))
    x = POSITIVE.reshape(-1, 8)[:256]
    result = int8(found, x)
    assert error(found, result.model, x) < 0.05
    first = next(n for n in result.model.graph if n.op_type == "MatMul")
    assert first.inputs[0] is result.model.graph.inputs[0]


def test_a_model_that_is_only_such_a_node_stays_float() -> None:
    found = behind_a_convolution(*LOG, last=False)
    result = int8(found, POSITIVE)
    assert "QuantizeLinear" not in graph.count_ops(result.model)
    assert (result.notes[0].name, result.notes[0].kept) == ("int8", False)


def test_accuracy_control_never_makes_such_a_node_int8() -> None:
    found = behind_a_convolution(*LOG)
    passes = passes_of(found, POSITIVE)
    trials = Trials(found, passes, PART, activations="uint8", reduce_range=True)
    assert "c" not in trials.nodes
    assert convolutions(trials.built([])) == [False, True]
