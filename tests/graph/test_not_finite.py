"""Scales, weights and biases that are no numbers, 0 or too large: what has them stays as it is, and nothing is said by
NumPy (warnings are errors in tests)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import quant
from squeeze.graph import count_ops
from squeeze.graph.lower import lower, made
from squeeze.quant.tables import LEAST_NUMBERS
from squeeze.spec import QuantPart
from squeeze.teacher.onnx.runtime import same
from tests.feeds import passes_of
from tests.graph.qdq import Net, reasons
from tests.graph.small import floats, model, node

BAD = [np.inf, -np.inf, np.nan, -0.1, 3e38]


@pytest.mark.parametrize("scale", [*BAD, 0.0])
def test_an_activation_with_such_a_scale_is_left_alone(scale: float) -> None:
    net = Net(8, 6, 6)
    y = net.conv(net.quantise("x", scale), 8, 8)
    result, _ = lower(net.model(net.quantise(y, 0.1, 100)))
    assert not made(result)


@pytest.mark.parametrize("scale", BAD)
@pytest.mark.parametrize("integers_follow", [True, False])
def test_weights_with_such_a_scale_are_left_alone(scale: float, integers_follow: bool) -> None:
    net = Net(16)
    weights = net.weights(net.few(64, 16), scale)
    y = net.add("Gemm", net.quantise("x"), weights, transB=1)
    result, notes = lower(net.model(net.quantise(y, 0.1, 100) if integers_follow else y))
    assert not made(result)
    if integers_follow:
        assert reasons(notes) == [
            "its weights have a scale that is negative, not finite or too large"
        ]


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_a_float_bias_that_is_no_number_is_left_alone(number: float) -> None:
    net = Net(16)
    bias = net.constant(np.full(12, number, np.float32))
    y = net.add("Gemm", net.quantise("x"), net.weights(net.integers(12, 16)), bias, transB=1)
    result, notes = lower(net.model(net.quantise(y, 0.1, 100)))
    assert not made(result)
    assert reasons(notes) == ["its float bias has no int32 form in steps of x_scale * w_scale"]


@pytest.mark.parametrize("where", ["weights", "bias"])
@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_a_layer_with_such_a_number_stays_float(where: str, number: float) -> None:
    w, b = floats(4, 3, 1, 1), floats(4, seed=1)
    (w if where == "weights" else b)[0] = number
    nodes = [
        node("Conv", ["x", "v"], ["a"]),
        node("Conv", ["x", "w", "b"], ["c"]),
        # The channel is not read, so that all values that are observed are finite.
        node("Slice", ["c", "one", "four", "one"], ["s"]),
        node("Add", ["a", "s"], ["y"]),
    ]
    constants = {"v": floats(3, 3, 1, 1), "w": w, "b": b}
    ends = {"one": np.array([1]), "four": np.array([4])}
    found = quantised(model(nodes, {**constants, **ends}, (3, 4, 4)), floats(8, 3, 4, 4))
    assert count_ops(found)["Conv"] == 2
    held = [n.inputs[1].const_value is not None for n in found.graph if n.op_type == "Conv"]  # type: ignore[union-attr]
    assert held == [False, True]


def test_a_table_with_such_a_row_stays_float() -> None:
    table = floats(LEAST_NUMBERS // 16, 16)
    table[5] = -np.inf
    nodes = [
        node("Cast", ["x"], ["i"], to=7),
        node("Gather", ["t", "i"], ["e"]),
        node("MatMul", ["e", "w"], ["y"]),
    ]
    constants = {"t": table, "w": floats(16, 4)}
    found = quantised(model(nodes, constants, (2,)), np.zeros((8, 2), np.float32))
    (gather,) = (n for n in found.graph if n.op_type == "Gather")
    assert gather.inputs[0] is not None
    assert gather.inputs[0].dtype == ir.DataType.FLOAT


def test_outputs_that_are_infinite_in_the_same_places_are_the_same() -> None:
    one = np.float32([1, np.inf, -np.inf, np.nan])
    assert same(one, one.copy())
    assert not same(one, np.float32([1, 2, -np.inf, np.nan]))


def quantised(float_model: ir.Model, x: np.ndarray) -> ir.Model:
    part = QuantPart(samples=8)
    return quant.quantize(
        float_model, passes_of(float_model, x), activations="uint8", part=part
    ).model
