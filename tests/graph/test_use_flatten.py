"""Flattening in other words becomes Flatten, with a dynamic batch."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.graph.passes.clean import clean
from squeeze.graph.passes.use_flatten import use_flatten
from tests.graph.small import floats, model, node, ops, run

int64 = np.int64


@pytest.mark.parametrize(
    "target", [[-1, 12], [0, -1], [0, 12]], ids=["rest-12", "batch-rest", "batch-12"]
)
def test_reshape_to_two_dimensions(target: list[int]) -> None:
    graph = model(
        [node("Reshape", ["x", "target"], ["y"])],
        {"target": np.asarray(target, int64)},
        (3, 2, 2),
    )
    x = floats(5, 3, 2, 2)
    expected = run(graph, x)
    assert use_flatten(graph)
    assert ops(graph) == ["Flatten"]
    np.testing.assert_array_equal(run(graph, x), expected)


@pytest.mark.parametrize("rest", [-1, 12])
def test_view_as_torchscript_writes_it(rest: int) -> None:
    graph = model(
        [
            node("Shape", ["x"], ["s"]),
            node("Gather", ["s", "first"], ["n"]),
            node("Unsqueeze", ["n", "axis"], ["n1"]),
            node("Concat", ["n1", "rest"], ["target"], axis=0),
            node("Reshape", ["x", "target"], ["y"]),
        ],
        {"first": int64(0), "axis": np.asarray([0], int64), "rest": np.asarray([rest], int64)},
        (3, 2, 2),
    )
    assert use_flatten(graph)
    clean(graph)
    assert ops(graph) == ["Flatten"]
    assert run(graph, floats(5, 3, 2, 2)).shape == (5, 12)


def test_squeeze_of_space() -> None:
    graph = model(
        [node("Squeeze", ["x", "axes"], ["y"])], {"axes": np.asarray([2, 3], int64)}, (3, 1, 1)
    )
    assert use_flatten(graph)
    assert run(graph, floats(5, 3, 1, 1)).shape == (5, 3)


def test_other_reshapes_are_left_alone() -> None:
    graph = model(
        [node("Reshape", ["x", "target"], ["y"])],
        {"target": np.asarray([-1, 6], int64)},
        (3, 2, 2),
    )
    assert not use_flatten(graph)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_slice_of_the_shape_flattens_only_where_it_keeps_the_batch_alone(kept: int) -> None:
    graph = model(
        [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", "start", "end", "axes"], ["n"]),
            node("Concat", ["n", "rest"], ["target"], axis=0),
            node("Reshape", ["x", "target"], ["y"]),
        ],
        {
            "start": np.asarray([0], int64),
            "end": np.asarray([kept], int64),
            "axes": np.asarray([0], int64),
            "rest": np.asarray([-1], int64),
        },
        (3, 2, 2),
    )
    assert use_flatten(graph) == (kept == 1)
    x = floats(5, 3, 2, 2)
    np.testing.assert_array_equal(run(graph, x), x.reshape(*x.shape[:kept], -1))
