"""Limits from above and below become one Clip."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from squeeze.graph.passes.use_clip import use_clip
from tests.graph.small import floats, model, node, ops, run

CONSTANTS = {"zero": np.float32(0), "six": np.float32([6]), "nine": np.float32(9)}
# name: (nodes, operators afterwards)
REPLACED: dict[str, tuple[list[onnx.NodeProto], list[str]]] = {
    "relu6": ([node("Max", ["x", "zero"], ["m"]), node("Min", ["six", "m"], ["y"])], ["Clip"]),
    "relu6-from-above": (
        [node("Min", ["x", "six"], ["m"]), node("Max", ["m", "zero"], ["y"])],
        ["Clip"],
    ),
    "below": ([node("Max", ["x", "zero"], ["y"])], ["Clip"]),
    "many": ([node("Min", ["six", "x", "nine"], ["y"])], ["Clip"]),
    "read-between": (
        [
            node("Max", ["x", "zero"], ["m"]),
            node("Min", ["m", "six"], ["n"]),
            node("Add", ["m", "n"], ["y"]),
        ],
        ["Clip", "Clip", "Add"],
    ),
    "nothing-in-common": (
        [node("Max", ["x", "nine"], ["m"]), node("Min", ["m", "six"], ["y"])],
        ["Clip", "Clip"],
    ),
}


@pytest.mark.parametrize("name", REPLACED)
def test_limits_become_clip(name: str) -> None:
    nodes, after = REPLACED[name]
    graph = model(nodes, CONSTANTS, (5, 3))
    x = 8 * floats(4, 5, 3)
    expected = run(graph, x)
    assert use_clip(graph)
    assert ops(graph) == after
    np.testing.assert_array_equal(run(graph, x), expected)
    assert not use_clip(graph)


LEFT = {
    "two-values": [node("Neg", ["x"], ["n"]), node("Max", ["x", "n"], ["y"])],
    "limit-per-column": [node("Max", ["x", "columns"], ["y"])],
    "limit-without-end": [node("Max", ["x", "endless"], ["y"])],
    "wider-limit": [node("Max", ["x", "wide"], ["y"])],
    "no-limits": [node("Clip", ["x"], ["y"])],
}


@pytest.mark.parametrize("name", LEFT)
def test_other_limits_stay(name: str) -> None:
    constants = {
        "columns": floats(3),
        "endless": np.float32(np.inf),
        "wide": np.zeros((1, 1, 1, 1), np.float32),
    }
    graph = model(LEFT[name], constants, (5, 3))
    assert not use_clip(graph)
