"""A graph for given sizes: what is computed from sizes becomes constants, results and names stay."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze import graph
from tests.graph.small import floats, model, node, ops, run


def pooled() -> ir.Model:
    """All but the batch flattened, its target computed; a product that only one size fits."""
    nodes = [
        node("Conv", ["x", "k"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Shape", ["c"], ["s"]),
        node("Slice", ["s", "zero", "one", "zero"], ["batch"]),
        node("Concat", ["batch", "rest"], ["to"], axis=0),
        node("Reshape", ["c", "to"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {
        "k": floats(4, 3, 3, 3),
        "w": floats(4 * 3 * 3, 5, seed=1),
        "zero": np.array([0]),
        "one": np.array([1]),
        "rest": np.array([-1]),
    }
    return model(nodes, constants, [3, "h", "w_"], opset=17)


def test_what_follows_from_sizes_is_known_and_the_model_stays_as_it_was() -> None:
    given = pooled()
    before = graph.to_bytes(given)
    found = graph.with_sizes(given, {"h": 6, "w_": 5})
    assert ops(found) == ["Conv", "Flatten", "MatMul"]
    assert "auto_pad" not in found.graph[0].attributes
    assert [str(d) for d in found.graph.inputs[0].shape or ()] == ["batch", "3", "6", "5"]
    x = floats(2, 3, 6, 5)
    np.testing.assert_allclose(run(found, x), run(given, x), atol=1e-5)
    assert graph.to_bytes(given) == before


def test_without_sizes_it_is_a_copy() -> None:
    given = pooled()
    found = graph.with_sizes(given, {})
    assert ops(found) == ops(given)
    x = floats(2, 3, 6, 5)
    np.testing.assert_array_equal(run(found, x), run(given, x))
