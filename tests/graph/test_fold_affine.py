"""Arithmetic with constants behind a linear operator goes into its weights."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.graph.passes.fold_affine import fold_affine
from tests.graph.small import floats, model, node, ops, run

# name: (op, operands, does it fold)
ARITHMETIC = {
    "add-channel": ("Add", ["c", "channel"], True),
    "add-one-number": ("Add", ["one", "c"], True),
    "mul-channel": ("Mul", ["c", "channel"], True),
    "div-channel": ("Div", ["c", "channel"], True),
    "sub": ("Sub", ["c", "channel"], True),
    "sub-from": ("Sub", ["channel", "c"], True),
    "divided-by": ("Div", ["one", "c"], False),
    "add-space": ("Add", ["c", "space"], False),
}


@pytest.mark.parametrize("kind", ARITHMETIC)
def test_arithmetic_behind_a_convolution(kind: str) -> None:
    op, operands, folds = ARITHMETIC[kind]
    constants = {
        "w": floats(6, 4, 3, 3),
        "channel": floats(6, 1, 1, seed=1) + 3,
        "one": np.float32(1.5),
        "space": floats(5, 5, seed=2),
    }
    graph = model(
        [node("Conv", ["x", "w"], ["c"]), node(op, operands, ["y"])], constants, (4, 7, 7)
    )
    x = floats(2, 4, 7, 7, seed=3)
    expected = run(graph, x)
    assert fold_affine(graph) is folds
    assert ops(graph) == (["Conv"] if folds else ["Conv", op])
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-4, atol=1e-4)


def test_hard_sigmoid_behind_a_convolution_becomes_a_clip() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("HardSigmoid", ["c"], ["y"], alpha=1 / 6, beta=0.5),
        ],
        {"w": floats(6, 4, 3, 3)},
        (4, 7, 7),
    )
    x = floats(2, 4, 7, 7, seed=3)
    expected = run(graph, x)
    assert fold_affine(graph)
    assert ops(graph) == ["Conv", "Clip"]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-4, atol=1e-5)


def test_an_output_that_others_read_is_left_alone() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Mul", ["c", "two"], ["d"]),
            node("Add", ["c", "d"], ["y"]),
        ],
        {"w": floats(4, 4, 1, 1), "two": np.float32(2)},
        (4, 5, 5),
    )
    assert not fold_affine(graph)
