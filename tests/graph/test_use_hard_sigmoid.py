"""A limited ramp becomes HardSigmoid, and with its product HardSwish in two operators."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from squeeze.graph.passes.use_hard_sigmoid import use_hard_sigmoid
from tests.graph.small import floats, model, node, ops, run

CONSTANTS = {
    "zero": np.float32(0),
    "one": np.float32(1),
    "two": np.float32(2),
    "three": np.float32([3]),
    "six": np.float32(6),
    "sixth": np.float32([1 / 6]),
    "columns": np.float32([3, 4, 5]),
    "wide": np.float32([[[[3.0]]]]),
}
RAMP = [node("Add", ["x", "three"], ["r"]), node("Clip", ["r", "zero", "six"], ["c"])]
# name: (nodes, operators afterwards, alpha, beta)
REPLACED: dict[str, tuple[list[onnx.NodeProto], list[str], float, float]] = {
    "gate": ([*RAMP, node("Div", ["c", "six"], ["y"])], ["HardSigmoid"], 1 / 6, 0.5),
    "gate-times-a-sixth": (
        [*RAMP, node("Mul", ["sixth", "c"], ["y"])],
        ["HardSigmoid"],
        1 / 6,
        0.5,
    ),
    "hard-swish": (
        [*RAMP, node("Mul", ["x", "c"], ["p"]), node("Div", ["p", "six"], ["y"])],
        ["HardSigmoid", "Mul"],
        1 / 6,
        0.5,
    ),
    "hard-swish-of-a-gate": (
        [*RAMP, node("Div", ["c", "six"], ["g"]), node("Mul", ["g", "x"], ["y"])],
        ["HardSigmoid", "Mul"],
        1 / 6,
        0.5,
    ),
    "another-ramp": (
        [
            node("Add", ["one", "x"], ["r"]),
            node("Clip", ["r", "zero", "two"], ["c"]),
            node("Div", ["c", "two"], ["y"]),
        ],
        ["HardSigmoid"],
        0.5,
        0.5,
    ),
}


@pytest.mark.parametrize("name", REPLACED)
def test_a_ramp_becomes_hard_sigmoid(name: str) -> None:
    nodes, after, alpha, beta = REPLACED[name]
    graph = model(nodes, CONSTANTS, (5, 3))
    x = 8 * floats(4, 5, 3)
    expected = run(graph, x)
    assert use_hard_sigmoid(graph)
    assert ops(graph) == after
    gate = next(iter(graph.graph))
    assert gate.attributes["alpha"].as_float() == pytest.approx(alpha)
    assert gate.attributes["beta"].as_float() == pytest.approx(beta)
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-6, atol=1e-6)
    assert not use_hard_sigmoid(graph)


LEFT: dict[str, list[onnx.NodeProto]] = {
    "another-divisor": [*RAMP, node("Div", ["c", "two"], ["y"])],
    "the-divisor-divided": [*RAMP, node("Div", ["six", "c"], ["y"])],
    "read-between": [*RAMP, node("Div", ["c", "six"], ["g"]), node("Add", ["g", "r"], ["y"])],
    "a-shift-per-column": [
        node("Add", ["x", "columns"], ["r"]),
        node("Clip", ["r", "zero", "six"], ["c"]),
        node("Div", ["c", "six"], ["y"]),
    ],
    "more-axes": [
        node("Add", ["x", "wide"], ["r"]),
        node("Clip", ["r", "zero", "six"], ["c"]),
        node("Div", ["c", "six"], ["y"]),
    ],
    "from-one": [
        node("Add", ["x", "three"], ["r"]),
        node("Clip", ["r", "one", "six"], ["c"]),
        node("Div", ["c", "six"], ["y"]),
    ],
}


@pytest.mark.parametrize("name", LEFT)
def test_other_chains_stay(name: str) -> None:
    graph = model(LEFT[name], CONSTANTS, (5, 3))
    before = ops(graph)
    assert not use_hard_sigmoid(graph)
    assert ops(graph) == before
