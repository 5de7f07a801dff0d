"""Matrix products of 8-bit tensors whose results stay float become QGemmReal, where they are large."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import ops
from squeeze.graph.lower import FAMILIES, lower, made
from squeeze.graph.passes.lower_qgemm import LEAST_REAL_WEIGHTS
from tests.graph.qdq import Array, Net, images, lowered, outputs, reasons

SIZE = 192
ROWS = images(2, 5, SIZE)


def product(op: str, *, levels: int = 0, outputs: int = SIZE) -> ir.Model:
    """A product of a quantised tensor and int8 weights, and its bias; the result is float."""
    net = Net(SIZE) if op == "Gemm" else Net(5, SIZE)
    x = net.quantise("x", 0.05, 120)
    w = net.few(outputs, SIZE, levels=levels) if levels else net.integers(outputs, SIZE)
    if op == "Gemm":
        return net.model(net.add("Gemm", x, net.weights(w), net.bias(outputs), transB=1))
    row = net.constant(net.rng.normal(size=outputs).astype(np.float32))
    y = net.add("MatMul", x, net.weights(np.ascontiguousarray(w.T), axis=1))
    return net.model(net.add("Add", y, row))


def assert_close(model: ir.Model, result: ir.Model, x: Array) -> None:
    wanted = outputs(model, x, optimise=False)[0]
    for native in (False, True) if ops.library_path() else (False,):
        got = outputs(result, x, native=native)[0]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_large_product_with_a_float_result(op: str) -> None:
    model = product(op)
    result, counts, _ = lowered(model)
    assert counts == {"QuantizeLinear": 1, "QGemmReal": 1, **({} if op == "Gemm" else {"Add": 1})}
    assert_close(model, result, ROWS[:, 0] if op == "Gemm" else ROWS)


def test_few_values_are_packed_and_multiplied_as_integers() -> None:
    model = product("MatMul", levels=8)
    result, counts, notes = lowered(model)
    assert counts == {"QuantizeLinear": 1, "QCodebookGemmReal": 1, "Add": 1}
    assert any("1 layers in 3 bits" in note.why for note in notes)
    assert_close(model, result, ROWS)


def test_few_weights_are_left_to_the_runtime_and_the_note_says_why() -> None:
    result, _, notes = lowered(product("Gemm", outputs=LEAST_REAL_WEIGHTS // SIZE))
    assert not made(result)
    assert reasons(notes) == ["its result is not quantised at once"]


def test_products_between_the_parts_of_a_transformer() -> None:
    """Product, residual, normalisation, quantiser; then product, Gelu, quantiser: no float product is left."""
    net = Net(5, SIZE)
    x = net.quantise("x", 0.05, 120)
    ones, zeros = (net.constant(np.full(SIZE, v, np.float32)) for v in (1, 0))
    row = net.constant(net.rng.normal(size=SIZE).astype(np.float32))
    w = [net.weights(net.integers(SIZE, SIZE), 0.001, axis=1) for _ in range(2)]
    branch = net.add("Add", net.add("MatMul", x, w[0]), row)
    norm = net.add("LayerNormalization", net.add("Add", branch, "x"), ones, zeros, axis=-1)
    wide = net.add("Add", net.add("MatMul", net.quantise(norm, 0.03, 128), w[1]), row)
    silu = net.add("Mul", wide, net.add("Sigmoid", wide))
    _, counts, _ = lowered(net.model(net.quantise(silu, 0.02, 14)))
    found = {name: counts[name] for name in ("QGemmReal", "QAddNorm", "QRealLookup")}
    assert found == {"QGemmReal": 2, "QAddNorm": 1, "QRealLookup": 1}
    assert not counts.keys() & {"MatMul", "Gemm"}


def test_it_is_a_kind_of_its_own_that_may_be_left_out() -> None:
    model = product("MatMul")
    assert made(lower(model)[0]) == {"QGemmReal": 1}
    assert "QGemmReal" in FAMILIES
    assert not made(lower(model, ["QGemmReal"])[0])
