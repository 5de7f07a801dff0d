"""Averages over all of space become GlobalAveragePool."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.graph.passes.fuse_global_pool import fuse_global_pool
from tests.graph.small import floats, model, node, ops, run


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((4, 7, 5), [2, 3]), ((4, 7, 5), [-1, -2]), ((4, 9), [2])],
    ids=["image", "negative-axes", "signal"],
)
def test_mean_over_space(
    opset: int, keepdims: int, shape: tuple[int, ...], axes: list[int]
) -> None:
    if opset < 18:
        mean = node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=keepdims)
        graph = model([mean], {}, shape, opset=opset)
    else:
        mean = node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims)
        graph = model([mean], {"axes": np.asarray(axes, np.int64)}, shape, opset=opset)
    x = floats(2, *shape)
    expected = run(graph, x)
    assert fuse_global_pool(graph)
    assert ops(graph) == ["GlobalAveragePool", *([] if keepdims else ["Flatten"])]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5, atol=1e-6)
    assert not fuse_global_pool(graph)


def test_average_pool_over_the_whole_input() -> None:
    graph = model([node("AveragePool", ["x"], ["y"], kernel_shape=[7, 5])], {}, (4, 7, 5))
    x = floats(2, 4, 7, 5)
    expected = run(graph, x)
    assert fuse_global_pool(graph)
    assert ops(graph) == ["GlobalAveragePool"]
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [[1], [3], [1, 2, 3]], ids=["channels", "columns", "all"])
def test_means_over_other_axes_are_left_alone(axes: list[int]) -> None:
    mean = node("ReduceMean", ["x", "axes"], ["y"])
    assert not fuse_global_pool(model([mean], {"axes": np.asarray(axes, np.int64)}, (4, 7, 5)))


def test_average_pool_over_a_part_is_left_alone() -> None:
    assert not fuse_global_pool(
        model([node("AveragePool", ["x"], ["y"], kernel_shape=[7, 3])], {}, (4, 7, 5))
    )
