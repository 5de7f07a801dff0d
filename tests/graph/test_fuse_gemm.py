"""A matrix product and its bias become one Gemm where that keeps the shape."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.passes.fuse_gemm import fuse_gemm
from tests.graph.small import Array, floats, model, node, ops, run

BIASES = {
    "vector": floats(5, seed=1),
    "row": floats(1, 5, seed=1),
    "one-number": np.float32(0.5),
}


def assert_fused(graph: ir.Model, *after: str) -> None:
    """One call leaves these operators, the results as they were, and nothing for a second one."""
    x = floats(3, 7, seed=2)
    expected = run(graph, x)
    assert fuse_gemm(graph)
    assert ops(graph) == list(after)
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5, atol=1e-6)
    assert not fuse_gemm(graph)


@pytest.mark.parametrize("kind", BIASES)
@pytest.mark.parametrize("order", [["m", "b"], ["b", "m"]], ids=["product-first", "bias-first"])
def test_product_and_bias_become_one_gemm(kind: str, order: list[str]) -> None:
    graph = model(
        [node("MatMul", ["x", "w"], ["m"]), node("Add", order, ["y"])],
        {"w": floats(7, 5), "b": BIASES[kind]},
        (7,),
    )
    assert_fused(graph, "Gemm")


@pytest.mark.parametrize("kind", [*BIASES, "none"])
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_factors_or_another_form_of_bias_becomes_plain(
    kind: str, transposed: int
) -> None:
    bias = {} if kind == "none" else {"b": BIASES[kind]}
    graph = model(
        [node("Gemm", ["x", "w", *bias], ["y"], alpha=0.5, beta=2.0, transB=transposed)],
        {"w": floats(5, 7) if transposed else floats(7, 5), **bias},
        (7,),
    )
    assert_fused(graph, "Gemm")
    (gemm,) = graph.graph
    assert {name: a.value for name, a in gemm.attributes.items()} in ({}, {"transB": transposed})
    assert [list(v.shape or []) for v in gemm.inputs[2:] if v is not None] == [[5]]


@pytest.mark.parametrize("bias", [floats(3, 5, seed=1), floats(3, 1, seed=1)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_bias_that_varies_with_the_row_is_added_behind_the_product(
    bias: Array, transposed: int
) -> None:
    graph = model(
        [node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=3.0, transB=transposed)],
        {"w": floats(5, 7) if transposed else floats(7, 5), "b": bias},
        (7,),
    )
    assert_fused(graph, "Gemm", "Add")
    assert "alpha" not in next(iter(graph.graph)).attributes


def test_a_transposed_first_operand_is_transposed_before_the_product() -> None:
    graph = model(
        [node("Gemm", ["x", "w", "b"], ["y"], transA=1, alpha=0.5)],
        {"w": floats(3, 5), "b": floats(5, seed=1)},
        (7,),
    )
    assert_fused(graph, "Transpose", "Gemm")


def test_bias_that_adds_rows_stays_an_addition() -> None:
    graph = model(
        [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])],
        {"w": floats(7, 5), "b": floats(3, 1, 5)},
        (7,),
    )
    assert_fused(graph, "Gemm", "Add")


@pytest.mark.parametrize("behind", [True, False], ids=["added", "in-the-product"])
def test_bias_per_row_of_as_many_rows_as_outputs_is_none_per_output(behind: bool) -> None:
    nodes = (
        [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])]
        if behind
        else [node("Gemm", ["x", "w", "b"], ["y"])]
    )
    assert_fused(model(nodes, {"w": floats(7, 3), "b": floats(3, 1)}, (7,)), "Gemm", "Add")


def test_product_of_rank_three_is_left_alone() -> None:
    graph = model([node("MatMul", ["x", "w"], ["y"])], {"w": floats(7, 5)}, (4, 7))
    assert not fuse_gemm(graph)
