"""Factors of operands become factors of the product."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.passes.clean import clean
from squeeze.graph.passes.scale_products import scale_products
from tests.graph.small import floats, model, node, ops, run

LENGTH, SIZE = 5, 8
X = floats(2, 3, LENGTH, SIZE)


def product(
    left: str | None,
    right: str | None,
    *,
    by: tuple[float, float] = (0.6, 0.7),
    on_the_left: bool = False,
) -> ir.Model:
    """x times its transpose; `left` and `right` are what is done to them with the numbers `by`."""
    nodes = [node("Transpose", ["x"], ["k"], perm=[0, 1, 3, 2])]
    sides = ["x", "k"]
    for place, op in enumerate((left, right)):
        if op is not None:
            inputs = [sides[place], f"by{place}"]
            sides[place] = f"side{place}"
            nodes.append(node(op, inputs[::-1] if on_the_left else inputs, [sides[place]]))
    nodes.append(node("MatMul", sides, ["y"]))
    constants = {f"by{i}": np.float32(number) for i, number in enumerate(by)}
    return model(nodes, constants, (3, LENGTH, SIZE))


@pytest.mark.parametrize(
    "graph",
    [
        product("Mul", "Mul"),
        product("Mul", None),
        product(None, "Div"),
        product("Div", "Mul"),
        product("Mul", "Mul", on_the_left=True),
    ],
)
def test_factor_is_behind_the_product(graph: ir.Model) -> None:
    wanted = run(graph, X)
    assert scale_products(graph)
    clean(graph)
    assert ops(graph) == ["Transpose", "MatMul", "Mul"]
    np.testing.assert_allclose(run(graph, X), wanted, rtol=1e-5, atol=1e-6)
    assert graph.graph.outputs[0].name == "y"
    assert not scale_products(graph)


@pytest.mark.parametrize(
    "graph",
    [
        product(None, None),
        product("Mul", "Mul", by=(0.0, 0.0)),
        product("Mul", "Mul", by=(1e-30, 1e-30)),
        product("Mul", "Mul", by=(1e30, 1e30)),
        product("Div", None, by=(0.0, 1.0)),
        product("Add", None),
    ],
)
def test_other_operands_stay(graph: ir.Model) -> None:
    before = ops(graph)
    assert not scale_products(graph)
    assert ops(graph) == before


def test_operand_that_somebody_else_reads_stays() -> None:
    nodes = [
        node("Mul", ["x", "by"], ["q"]),
        node("Transpose", ["x"], ["k"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "k"], ["scores"]),
        node("MatMul", ["scores", "q"], ["y"]),
    ]
    graph = model(nodes, {"by": np.float32(0.5)}, (3, LENGTH, SIZE))
    assert not scale_products(graph)
