"""auto_pad is written out, and Pad moves into the convolution behind it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from squeeze.graph.passes.explicit_pads import explicit_pads
from squeeze.graph.passes.fold_pad import fold_pad
from tests.graph.small import floats, model, node, ops, run


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("side", [7, 8])
def test_auto_pad_of_a_convolution_becomes_numbers(mode: str, side: int) -> None:
    graph = model(
        [node("Conv", ["x", "w"], ["y"], auto_pad=mode, strides=[2, 2])],
        {"w": floats(4, 3, 3, 3)},
        (3, side, side),
    )
    x = floats(1, 3, side, side)
    expected = run(graph, x)
    assert explicit_pads(graph)
    assert "auto_pad" not in graph.graph[0].attributes
    np.testing.assert_array_equal(run(graph, x), expected)
    assert not explicit_pads(graph)


def test_auto_pad_with_varying_space_is_left_alone() -> None:
    graph = model(
        [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER")],
        {"w": floats(4, 3, 3, 3)},
        (3, "height", "width"),
    )
    assert not explicit_pads(graph)


def padded(
    pads: list[int], axes: list[int] | None = None, **attributes: str
) -> list[onnx.NodeProto]:
    inputs = ["x", "pads", "zero", *(["axes"] if axes is not None else [])]
    return [
        node("Pad", inputs, ["p"], **attributes),
        node("Conv", ["p", "w"], ["y"], pads=[1, 0, 0, 1]),
    ]


@pytest.mark.parametrize("with_axes", [True, False], ids=["axes", "no-axes"])
def test_asymmetric_pad_moves_into_the_convolution(with_axes: bool) -> None:
    pads = [2, 0, 1, 3] if with_axes else [0, 0, 2, 0, 0, 0, 1, 3]
    constants = {
        "w": floats(4, 3, 3, 3),
        "pads": np.asarray(pads, np.int64),
        "zero": np.float32(0),
    }
    if with_axes:
        constants["axes"] = np.asarray([-2, -1], np.int64)
    graph = model(padded(pads, [-2, -1] if with_axes else None), constants, (3, 7, 7))
    x = floats(2, 3, 7, 7)
    expected = run(graph, x)
    assert fold_pad(graph)
    assert ops(graph) == ["Conv"]
    assert list(graph.graph[0].attributes["pads"].as_ints()) == [3, 0, 1, 4]
    np.testing.assert_array_equal(run(graph, x), expected)


# name: (pads, value filled in, mode)
LEFT = {
    "channels": ([0, 1, 0, 0, 0, 1, 0, 0], 0.0, "constant"),
    "negative": ([0, 0, -1, 0, 0, 0, 0, 0], 0.0, "constant"),
    "ones": ([0, 0, 1, 1, 0, 0, 1, 1], 1.0, "constant"),
    "reflected": ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "reflect"),
}


@pytest.mark.parametrize("kind", LEFT)
def test_other_pads_are_left_alone(kind: str) -> None:
    pads, value, mode = LEFT[kind]
    constants = {
        "w": floats(4, 5 if kind == "channels" else 3, 3, 3),
        "pads": np.asarray(pads, np.int64),
        "zero": np.float32(value),
    }
    assert not fold_pad(model(padded(pads, mode=mode), constants, (3, 7, 7)))
