"""Products of rows that are quantised when they are there become QGemmByRow."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.files import to_bytes
from squeeze.graph.lower import FAMILIES, lower, made
from squeeze.quant.by_row import use_rows
from squeeze.quant.ranges.grid import Grid
from tests.graph.qdq import lowered, outputs
from tests.graph.small import floats, model, node

INPUTS, OUTPUTS = 24, 16
X = floats(2, 5, INPUTS) * 10.0 ** np.random.default_rng(1).integers(-2, 3, (2, 5, 1)).astype("f")
# Of 6 bits: no CPU adds two products of neighbours beyond 16 bits.
GRID = Grid(np.dtype(np.uint8), weight_limit=63)


def product(*, op: str = "MatMul", biased: bool = False, opset: int = 20) -> ir.Model:
    """By row already. A Gemm has its rows in one dimension."""
    constants = {"w": floats(INPUTS, OUTPUTS, seed=2), "b": floats(OUTPUTS, seed=3)}
    if op == "Gemm":
        constants["shape"] = np.array([-1, INPUTS], np.int64)
        nodes = [node("Reshape", ["x", "shape"], ["rows"])]
        nodes.append(node("Gemm", ["rows", "w", "b"][: 3 if biased else 2], ["y"]))
    else:
        nodes = [node("MatMul", ["x", "w"], ["y" if not biased else "product"])]
        if biased:
            nodes.append(node("Add", ["product", "b"], ["y"]))
    found = model(nodes, constants, (5, INPUTS), opset=opset)
    last = "product" if biased and op == "MatMul" else "y"
    assert use_rows(found, {last}, GRID) == [last]
    return found


@pytest.mark.parametrize(
    "graph",
    [
        product(),
        product(biased=True),
        product(op="Gemm", biased=True),
        product(op="Gemm"),
        product(opset=17),
    ],
)
def test_rows_become_one_node(library: str, graph: ir.Model) -> None:
    result, counts, _ = lowered(graph)
    assert made(result) == {"QGemmByRow": 1}
    assert counts.keys() <= {"QGemmByRow", "Reshape"}
    wanted = outputs(graph, X, optimise=False)[0]
    for native in (True, False):
        found = outputs(result, X, native=native)[0]
        # A number between two steps may be rounded either way.
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=0.02 * np.abs(wanted).max())
        assert np.median(np.abs(found - wanted)) < 1e-4


def test_it_may_be_left_out_and_its_body_is_in_the_file() -> None:
    assert "QGemmByRow" in FAMILIES
    assert not made(lower(product(), ["QGemmByRow"])[0])
    assert b"MatMulInteger" in to_bytes(lower(product())[0])


@pytest.mark.parametrize("number", [127.0, 128.0, np.float32(1) / np.float32(127)])
def test_other_numbers_are_another_function(number: float) -> None:
    graph = product()
    for value in graph.graph.initializers.values():
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if array.size == 1 and array.dtype == np.float32 and array.item() == number:
            value.const_value = ir.tensor(np.float32(1.5 * number), name=value.name)
    assert not made(lower(graph)[0])
