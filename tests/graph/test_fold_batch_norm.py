"""BatchNormalization folds into what is before it, whatever exporter wrote the file."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.graph.passes.fold_batch_norm import fold_batch_norm
from tests.graph.small import batch_norm, floats, model, node, norm_inputs, ops, run

# name: (op, attributes, weight shape, channels, input shape)
LINEAR = {
    "dense-padded": ("Conv", {"pads": [1, 1, 1, 1]}, (6, 4, 3, 3), 6, (4, 7, 7)),
    "grouped": ("Conv", {"group": 2}, (6, 2, 3, 3), 6, (4, 7, 7)),
    "depthwise-strided": ("Conv", {"group": 4, "strides": [2, 2]}, (4, 1, 3, 3), 4, (4, 7, 7)),
    "one-dimensional": ("Conv", {"pads": [0, 2]}, (5, 4, 3), 5, (4, 11)),
    "transposed": ("ConvTranspose", {"strides": [2, 2]}, (4, 5, 3, 3), 5, (4, 5, 5)),
    "transposed-grouped": ("ConvTranspose", {"group": 2}, (4, 3, 3, 3), 6, (4, 5, 5)),
    "gemm": ("Gemm", {"alpha": 0.5, "beta": 2.0}, (7, 5), 5, (7,)),
    "gemm-transposed": ("Gemm", {"transB": 1}, (5, 7), 5, (7,)),
}


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("kind", LINEAR)
def test_folds_into_linear_operator(kind: str, biased: bool) -> None:
    op, attributes, weights, channels, shape = LINEAR[kind]
    constants = {"w": floats(*weights), **batch_norm("n", channels)}
    if biased:
        constants["b"] = floats(channels, seed=1)
    inputs = ["x", "w", *(["b"] if biased else [])]
    graph = model(
        [
            node(op, inputs, ["c"], **attributes),
            node("BatchNormalization", ["c", *norm_inputs("n")], ["y"], epsilon=1e-3),
        ],
        constants,
        shape,
    )
    x = floats(2, *shape, seed=2)
    expected = run(graph, x)
    assert fold_batch_norm(graph)
    assert ops(graph) == [op]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-4, atol=1e-4)
    assert not fold_batch_norm(graph)


def test_weights_shared_with_another_convolution_stay() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", *norm_inputs("n")], ["d"]),
            node("Conv", ["d", "w"], ["y"]),
        ],
        {"w": floats(4, 4, 1, 1), **batch_norm("n", 4)},
        (4, 5, 5),
    )
    x = floats(1, 4, 5, 5)
    expected = run(graph, x)
    assert fold_batch_norm(graph)
    assert ops(graph) == ["Conv", "Conv"]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-4, atol=1e-4)


def test_without_linear_operator_before_it_becomes_a_depthwise_convolution() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", *norm_inputs("n")], ["d"]),
            node("Add", ["c", "d"], ["y"]),
        ],
        {"w": floats(4, 4, 1, 1), **batch_norm("n", 4)},
        (4, 5, 5),
    )
    x = floats(2, 4, 5, 5)
    expected = run(graph, x)
    assert fold_batch_norm(graph)
    assert ops(graph) == ["Conv", "Conv", "Add"]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-4, atol=1e-4)


def test_training_mode_is_left_alone() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", *norm_inputs("n")], ["y", "m", "v"], training_mode=1),
        ],
        {"w": floats(4, 4, 1, 1), **batch_norm("n", 4)},
        (4, 5, 5),
    )
    assert not fold_batch_norm(graph)
