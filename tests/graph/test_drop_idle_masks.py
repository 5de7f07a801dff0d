"""Masks that mask nothing, and guards of queries without keys where each has some, go; the others stay."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.passes.clean import clean
from squeeze.graph.passes.drop_idle_masks import drop_idle_masks
from tests.graph.small import Array, floats, model, node, ops, run

LENGTH, SIZE = 5, 8
X = floats(2, 3, LENGTH, SIZE)
INFINITE = np.float32(-np.inf)


def attention(mask: Array | None, *, condition: Array | None = None, other: str = "") -> ir.Model:
    """Attention of x with itself; the mask is a constant, or 0 and `mask` by a condition behind Expand, as in torch.

    other: what the scores are made of instead of a product.
    """
    nodes = [
        node("Transpose", ["x"], ["k"], perm=[0, 1, 3, 2]),
        node("MatMul", ["x", "k"], ["product"]),
        node(other or "Identity", ["product"], ["scores"]),
    ]
    if not other:
        nodes[1:] = [node("MatMul", ["x", "k"], ["scores"])]
    constants: dict[str, Array] = {"zero": np.float32(0)}
    masked = "scores"
    if mask is not None:
        constants["mask"], masked = mask, "masked"
        if condition is not None:
            constants |= {"condition": condition, "first": np.array([0], np.int64)}
            constants |= {"one": np.array([1], np.int64), "last": np.array([LENGTH] * 2, np.int64)}
            nodes += [
                node("Shape", ["x"], ["shape"], start=0, end=1),
                node("Concat", ["shape", "one", "last"], ["wide"], axis=0),
                node("Expand", ["condition", "wide"], ["where"]),
                node("Where", ["where", "zero", "mask"], ["chosen"]),
            ]
        nodes += [node("Add", ["scores", "mask" if condition is None else "chosen"], ["masked"])]
    nodes += [
        node("Softmax", [masked], ["p"], axis=-1),
        node("IsNaN", ["p"], ["none"]),
        node("Where", ["none", "zero", "p"], ["guarded"]),
        node("MatMul", ["guarded", "x"], ["y"]),
    ]
    return model(nodes, constants, (3, LENGTH, SIZE))


ALL = np.ones((1, 1, LENGTH, 1), bool)
SOME = np.tril(np.ones((1, 1, LENGTH, LENGTH), bool))


@pytest.mark.parametrize(
    ("graph", "gone"),
    [
        (attention(None), {"IsNaN"}),
        (attention(np.zeros((1, 1, 1, LENGTH), np.float32)), {"IsNaN", "Add"}),
        (attention(INFINITE, condition=ALL), {"IsNaN", "Add"}),
        (attention(np.where(SOME, 0, INFINITE).astype(np.float32)), {"IsNaN"}),
        (attention(np.float32(-1e9), condition=SOME), {"IsNaN"}),
    ],
    ids=["no-mask", "zeros", "expanded", "causal", "finite"],
)
def test_what_does_nothing_goes(graph: ir.Model, gone: set[str]) -> None:
    wanted = run(graph, X)
    assert drop_idle_masks(graph)
    clean(graph)
    assert not gone & set(ops(graph))
    np.testing.assert_allclose(run(graph, X), wanted, rtol=1e-6)
    assert not drop_idle_masks(graph)


def without_first() -> Array:
    mask = np.zeros((1, 1, LENGTH, LENGTH), np.float32)
    mask[..., 0, :] = INFINITE
    return mask


@pytest.mark.parametrize(
    "graph",
    [
        attention(without_first()),
        attention(INFINITE, condition=SOME),
        attention(None, other="Log"),
    ],
    ids=["row-without-keys", "by-condition", "no-product"],
)
def test_what_may_do_something_stays(graph: ir.Model) -> None:
    before = ops(graph)
    assert not drop_idle_masks(graph)
    assert ops(graph) == before


def test_mask_that_gives_the_scores_another_shape_stays() -> None:
    graph = attention(np.zeros((4, 1, 1, 1, 1), np.float32))
    wanted = run(graph, X)
    drop_idle_masks(graph)
    clean(graph)
    assert "Add" in ops(graph)
    np.testing.assert_array_equal(run(graph, X), wanted)
