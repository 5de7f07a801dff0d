"""Functions behind a layer: native and body agree but for ties, whatever the function, and however it is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import ops
from squeeze.graph.lower import lower
from tests.graph.qdq import Array, Net, fused, images, lowered, outputs, reasons

SCALE, ZERO_POINT = 0.04, 20
X = images(2, 8, 8, 8)
erf = np.vectorize(math.erf)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def clipped(net: Net, x: str, low: float, high: float) -> str:
    return net.add("Clip", x, net.constant(np.float32(low)), net.constant(np.float32(high)))


def tf_swish(net: Net, x: str) -> str:
    moved = clipped(net, net.add("Add", x, net.constant(np.float32(3))), 0, 6)
    return net.add("Mul", net.add("Mul", x, moved), net.constant(np.float32(1 / 6)))


def erf_gelu(net: Net, x: str) -> str:
    scaled = net.add("Div", x, net.constant(np.float32(math.sqrt(2))))
    one = net.add("Add", net.add("Erf", scaled), net.constant(np.float32(1)))
    return net.add("Mul", net.add("Mul", x, one), net.constant(np.float32(0.5)))


def tanh_gelu(net: Net, x: str) -> str:
    cube = net.add("Mul", net.add("Pow", x, net.constant(np.float32(3))), number(net, 0.044715))
    inner = net.add("Tanh", net.add("Mul", net.add("Add", x, cube), number(net, 0.7978845608)))
    return net.add(
        "Mul", net.add("Mul", x, net.add("Add", inner, number(net, 1))), number(net, 0.5)
    )


def number(net: Net, value: float) -> str:
    return net.constant(np.float32(value))


# kind -> how it is written, and what it is, by hand
KINDS: dict[str, tuple[Callable[[Net, str], str], Callable[[Array], Array]]] = {
    "elu": (lambda n, x: n.add("Elu", x), lambda x: np.where(x > 0, x, np.expm1(x))),
    "gelu-erf": (erf_gelu, lambda x: x * (1 + erf(x / math.sqrt(2))) / 2),
    "gelu-tanh": (
        tanh_gelu,
        lambda x: x / 2 * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    ),
    "hard-sigmoid": (
        lambda n, x: n.add("HardSigmoid", x),
        lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    ),
    "hard-swish": (lambda n, x: n.add("HardSwish", x), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "hard-swish-of-tensorflow": (tf_swish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "leaky-relu": (
        lambda n, x: n.add("LeakyRelu", x, alpha=0.1),
        lambda x: np.where(x > 0, x, 0.1 * x),
    ),
    "mish": (lambda n, x: n.add("Mish", x), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "prelu": (
        lambda n, x: n.add("PRelu", x, number(n, 0.25)),
        lambda x: np.where(x > 0, x, 0.25 * x),
    ),
    "relu": (lambda n, x: n.add("Relu", x), lambda x: np.maximum(x, 0)),
    "relu6": (lambda n, x: clipped(n, x, 0, 6), lambda x: np.clip(x, 0, 6)),
    "sigmoid": (lambda n, x: n.add("Sigmoid", x), sigmoid),
    "silu": (lambda n, x: n.add("Mul", x, n.add("Sigmoid", x)), lambda x: x * sigmoid(x)),
    "softplus": (lambda n, x: n.add("Softplus", x), lambda x: np.log1p(np.exp(x))),
    "tanh": (lambda n, x: n.add("Tanh", x), np.tanh),
}


def network(kind: str, *, product: str = "Conv", other_scale: bool = True) -> ir.Model:
    """Layer -> quantiser -> the function -> quantiser -> layer -> quantiser."""
    net = Net(8, 8, 8) if product == "Conv" else Net(16)
    x, scale = net.quantise("x"), 0.06
    if product == "Conv":
        y = net.quantise(net.conv(x, 8, 8), scale, 120)
    else:
        gemm = net.add("Gemm", x, net.weights(net.integers(12, 16)), net.bias(12), transB=1)
        y = net.quantise(gemm, scale, 120)
    grid = (SCALE, ZERO_POINT) if other_scale else (scale, 120)
    return net.model(net.quantise(KINDS[kind][0](net, y), *grid))


@pytest.mark.parametrize("product", ["Conv", "Gemm"])
@pytest.mark.parametrize("kind", KINDS)
def test_native_body_and_plain_graph_agree_but_for_ties(
    kind: str, product: str, tmp_path: Path
) -> None:
    model = network(kind, product=product)
    result, counts, notes = lowered(model)
    assert counts == {"QuantizeLinear": 1, f"Q{product}Lookup": 1, "DequantizeLinear": 1}
    assert not reasons(notes)
    x = X if product == "Conv" else images(40, 16)
    (wanted,) = outputs(model, x, optimise=False)
    assert len(np.unique(wanted)) > 10
    for native in (False, True) if ops.library_path() else (False,):
        (got,) = outputs(result, x, native=native)
        apart = np.abs(got - wanted) / SCALE
        assert apart.max() <= 1.01
        assert np.mean(apart > 0.5) <= 0.02
    fast = fused(result, tmp_path)
    assert fast["QLinearConv" if product == "Conv" else "QGemm"] == 1
    assert fast["Gather"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_is_the_function_of_the_256_numbers(kind: str) -> None:
    result, _, _ = lowered(network(kind))
    node = next(n for n in result.graph if n.op_type == "QConvLookup")
    table = node.inputs[ops.SIGNATURES["QConvLookup"].names.index("table")].const_value.numpy()
    real = (np.arange(256) - 120) * np.float64(np.float32(0.06))
    steps = KINDS[kind][1](real) / np.float64(np.float32(SCALE)) + ZERO_POINT
    assert np.abs(table - np.clip(steps, 0, 255)).max() <= 0.501


@pytest.mark.parametrize("kind", ["relu", "relu6"])
def test_clips_between_equal_scales_are_clips_of_integers(kind: str, tmp_path: Path) -> None:
    model = network(kind, other_scale=False)
    result, counts, _ = lowered(model)
    assert counts["QConvLookup"] == 1
    assert (fused(result, tmp_path)["Clip"], fused(result, tmp_path)["QuantizeLinear"]) == (1, 1)
    (wanted,) = outputs(model, X, optimise=False)
    for native in (False, True) if ops.library_path() else (False,):
        np.testing.assert_array_equal(outputs(result, X, native=native)[0], wanted)


def chain(*kinds: str) -> ir.Model:
    """A convolution with each of the functions behind it, one after the other."""
    net = Net(8, 8, 8)
    y = net.quantise("x")
    for i, kind in enumerate(kinds):
        y = net.quantise(net.conv(y, 8, 8), 0.06, 120)
        y = net.quantise(KINDS[kind][0](net, y), 0.05, 60 + i % 2)
    return net.model(y)


def test_equal_functions_share_a_body_and_others_have_their_own() -> None:
    result, counts, notes = lowered(chain("tanh", "silu", "silu", "silu", "mish", "tanh"))
    assert {op: n for op, n in counts.items() if "Lookup" in op} == {
        "QConvLookup": 3,
        "QConvLookup2": 2,
        "QConvLookup3": 1,
    }
    words = {f.name: f.graph.doc_string for f in result.functions.values()}
    assert words == {
        "QConvLookup": "x * Sigmoid(x)",
        "QConvLookup2": "Tanh(x)",
        "QConvLookup3": "Mish(x)",
    }
    said = [n.why for n in notes if n.name == "lower QConvLookup"]
    assert said == ["3 made: x * Sigmoid(x)"]


def test_more_functions_than_names_leave_the_rarest_as_operators() -> None:
    kinds = [k for k in KINDS if k != "relu"][:9]
    model = chain(*kinds, *kinds[:8])
    result, counts, notes = lowered(model)
    assert sum(n for op, n in counts.items() if "Lookup" in op) == 16
    assert counts["QConv"] == 1
    (left,) = [n.why for n in notes if n.name == "functions"]
    assert left.endswith("one file has 8 functions at most")
    (wanted,) = outputs(model, X, optimise=False)
    for native in (False, True) if ops.library_path() else (False,):
        (got,) = outputs(result, X, native=native)
        # Ties of 17 layers: not the numbers, but their likeness.
        assert np.corrcoef(got.reshape(-1), wanted.reshape(-1))[0, 1] > 0.98


def quantised_inside(*, cuts: bool) -> ir.Model:
    """x * relu6(x + 3) / 6 with a quantiser around everything; `cuts`: the Clip is left to one of them."""
    net = Net(8, 8, 8)
    x = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.06, 120)
    three = net.grid(3 / 255)
    constant = net.add("DequantizeLinear", net.constant(np.uint8(255)), *three)
    moved = net.add("Add", x, constant)
    moved = moved if cuts else clipped(net, net.quantise(moved, 0.06, 70), 0, 6)
    gate = net.quantise(net.add("Mul", net.quantise(moved, 6 / 255), number(net, 1 / 6)), 1 / 255)
    return net.model(net.quantise(net.add("Mul", x, gate), SCALE, ZERO_POINT))


@pytest.mark.parametrize("cuts", [False, True])
def test_quantisers_inside_are_left_out_but_for_what_they_cut_off(
    cuts: bool, tmp_path: Path
) -> None:
    model = quantised_inside(cuts=cuts)
    result, counts, _ = lowered(model)
    assert counts == {"QuantizeLinear": 1, "QConvLookup": 1, "DequantizeLinear": 1}
    assert fused(result, tmp_path)["QuantizeLinear"] == 2  # of the input, and of the function
    (wanted,) = outputs(model, X, optimise=False)
    for native in (False, True) if ops.library_path() else (False,):
        (got,) = outputs(result, X, native=native)
        assert np.abs(got - wanted).max() <= 2.01 * SCALE
    node = next(n for n in result.graph if n.op_type == "QConvLookup")
    table = node.inputs[ops.SIGNATURES["QConvLookup"].names.index("table")].const_value.numpy()
    real = (np.arange(256) - 120) * np.float64(np.float32(0.06))
    exact = KINDS["hard-swish"][1](real) / SCALE + ZERO_POINT
    assert np.abs(table - np.clip(exact, 0, 255)).max() <= 1


def test_coarse_quantisers_that_make_the_function_stay() -> None:
    net = Net(8, 8, 8)
    x = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.06, 120)
    stairs = net.quantise(net.add("Tanh", x), 0.5, 128)  # five levels
    model = net.model(net.quantise(stairs, 1 / 127, 128))
    result, counts, _ = lowered(model)
    assert counts["QConvLookup"] == 1
    (wanted,) = outputs(model, X, optimise=False)
    assert len(np.unique(wanted)) == 5
    for native in (False, True) if ops.library_path() else (False,):
        np.testing.assert_allclose(outputs(result, X, native=native)[0], wanted, atol=1e-6)


def test_files_from_before_the_grid_of_y_was_an_input_still_load(library: str) -> None:
    result, _ = lower(network("tanh"))
    (wanted,) = outputs(result, X, native=True)
    node = next(n for n in result.graph if n.op_type == "QConvLookup")
    node.resize_inputs(9)
    del result.functions[ops.DOMAIN, "QConvLookup", ""]
    np.testing.assert_array_equal(outputs(result, X, native=True)[0], wanted)
