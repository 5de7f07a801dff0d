"""Products with a scale for each row of their activations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.passes.clean import clean
from squeeze.old_x86.emulation import saturates
from squeeze.quant.by_row import use_rows
from squeeze.quant.ranges.grid import Grid
from squeeze.quant.stored import store_weights
from tests.graph.small import Array, floats, model, node, ops, run

INPUTS, OUTPUTS, TOKENS = 64, 80, 12
# Tokens differ a thousandfold, as those of trained encoders may.
SIZES = 10.0 ** np.random.default_rng(1).uniform(-2, 1, (4, TOKENS, 1))
X = (floats(4, TOKENS, INPUTS) * SIZES).astype(np.float32)
W, B = floats(INPUTS, OUTPUTS, seed=2), floats(OUTPUTS, seed=3)
GRID = Grid(np.dtype(np.uint8), weight_limit=63)


def product() -> ir.Model:
    return model([node("MatMul", ["x", "w"], ["y"])], {"w": W}, (TOKENS, INPUTS))


def gemm(**attributes: object) -> ir.Model:
    w = W.T.copy() if attributes.get("transB") else W
    nodes = [
        node("Reshape", ["x", "shape"], ["rows"]),
        node("Gemm", ["rows", "w", "b"], ["y"], **attributes),
    ]
    shape = np.array([-1, INPUTS], np.int64)
    return model(nodes, {"w": w, "b": B, "shape": shape}, (TOKENS, INPUTS))


def error(found: Array, wanted: Array) -> Array:
    """Of each row, as a share of its deviation."""
    rows = (found - wanted).reshape(-1, OUTPUTS)
    deviation: Array = rows.std(axis=1) / wanted.reshape(-1, OUTPUTS).std(axis=1)
    return deviation


@pytest.mark.parametrize("graph", [product(), gemm(), gemm(transB=1)])
def test_every_row_is_as_near_as_its_own_steps(graph: ir.Model) -> None:
    wanted = run(graph, X)
    assert use_rows(graph, {"y"}, GRID) == ["y"]
    assert "MatMulInteger" in ops(graph)
    assert not {"MatMul", "Gemm"} & set(ops(graph))
    assert graph.graph.outputs[0].name == "y"
    found = run(graph, X)
    assert error(found, wanted).max() < 0.03


def test_one_scale_for_all_rows_loses_the_small_ones() -> None:
    """What the whole is for: the same product on one grid, which the largest token decides."""
    wanted = run(product(), X)
    step = np.abs(X).max() / 127
    static = run(product(), (np.rint(X / step) * step).astype(np.float32))
    by_row = product()
    use_rows(by_row, {"y"}, GRID)
    assert np.median(error(static, wanted)) > 5 * np.median(error(run(by_row, X), wanted))


def test_weights_that_are_stored_in_int8_are_taken() -> None:
    graph = product()
    assert store_weights(graph.graph)
    clean(graph)
    wanted = run(graph, X)
    # The same integers: what is left is what the rows lose. Where pairs of them could saturate they are halved.
    halved = saturates()
    assert use_rows(graph, {"y"}, Grid(np.dtype(np.uint8), safe=halved)) == ["y"]
    assert error(run(graph, X), wanted).max() < (0.03 if halved else 0.02)
    assert not [n for n in ops(graph) if n == "MatMul"]


def test_value_in_the_middle_keeps_its_name() -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])]
    graph = model(nodes, {"w": W}, (TOKENS, INPUTS))
    assert use_rows(graph, {"h", "y"}, GRID) == ["h"]
    (relu,) = (n for n in graph.graph if n.op_type == "Relu")
    assert relu.inputs[0] is not None
    assert relu.inputs[0].name == "h"


@pytest.mark.parametrize(
    "graph",
    [
        gemm(alpha=0.5),
        model(
            [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["y"])],
            {},
            (TOKENS, INPUTS),
        ),
        model(
            [node("MatMul", ["x", "w"], ["y"])],
            {"w": np.full((INPUTS, OUTPUTS), np.inf, np.float32)},
            (TOKENS, INPUTS),
        ),
        model([node("MatMul", ["x", "w"], ["y"])], {"w": floats(1, INPUTS, 3)}, (TOKENS, INPUTS)),
    ],
    ids=["alpha", "activations", "infinite", "stacked"],
)
def test_other_products_stay(graph: ir.Model) -> None:
    before = ops(graph)
    assert use_rows(graph, {"y"}, GRID) == []
    assert ops(graph) == before


def test_only_what_is_named_is_replaced() -> None:
    graph = product()
    assert use_rows(graph, {"z"}, GRID) == []
    assert ops(graph) == ["MatMul"]
