"""Layers of few weight values become codebook ops: the same results to the last bit, and only where bytes are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import ops
from squeeze.graph import fastest
from squeeze.graph.lower import FAMILIES, PACKED, lower, made
from tests.graph.qdq import Array, Net, assert_same, fused, images, lowered, outputs, reasons

SCALE = 0.05
X = images(2, 32, 6, 6)


def assert_equal(model: ir.Model, x: Array = X) -> ir.Model:
    """The packed model gives the bits of the unpacked one, natively and by its bodies."""
    packed, plain = lower(model)[0], lower(model, [PACKED])[0]
    assert made(packed)[PACKED]
    assert PACKED not in made(plain)
    for native in (False, True) if ops.library_path() else (False,):
        for got, wanted in zip(
            outputs(packed, x, native=native), outputs(plain, x, native=native), strict=True
        ):
            assert len(np.unique(wanted)) > 10
            np.testing.assert_array_equal(got, wanted)
    return packed


def convolution(
    after: str = "", *, levels: int = 4, own: bool = False, group: int = 1, zero_point: int = 100
) -> ir.Model:
    """Two convolutions of 64 channels, the second with few weight values, then `after`, and a quantiser."""
    net = Net(32, 6, 6)
    x = net.quantise(net.conv(net.quantise("x"), 64, 32), SCALE, 110)
    w = net.few(64, 64 // group, 3, 3, levels=levels, own=own)
    y = net.conv(x, 64, 64, integers=w, group=group)
    if after == "Add":
        y = net.add("Add", net.quantise(y, 0.04, 128), x)
    elif after == "Clip":
        y = net.add("Clip", y, *(net.constant(np.float32(v)) for v in (-2, 3)))
    elif after == "Tanh":
        y = net.add("Tanh", net.quantise(y, 0.04, 128))
        return net.model(net.quantise(y, 1 / 127, 128))
    elif after:
        y = net.add(after, y)
    return net.model(net.quantise(y, SCALE, zero_point))


@pytest.mark.parametrize(
    ("levels", "own", "bits", "bucket"),
    [
        (4, False, 2, 64 * 576),
        (3, True, 2, 576),
        (8, False, 3, 64 * 576),
        (7, True, 3, 576),
        (16, True, 4, 576),
    ],
)
def test_convolution_is_packed_to_the_bit(
    levels: int, own: bool, bits: int, bucket: int, tmp_path: Path
) -> None:
    result = assert_equal(convolution(levels=levels, own=own))
    node = next(n for n in result.graph if n.op_type == "QCodebookConv")
    found = {name: node.attributes[name].value for name in ("w_shape", "bits", "bucket")}
    assert found == {"w_shape": (64, 64, 3, 3), "bits": bits, "bucket": bucket}
    assert node.inputs[3].const_value.size == 64 * 576 * bits // 8
    assert node.inputs[4].const_value.shape == (64 if own else 1, 1 << bits)
    assert fused(result, tmp_path)["QLinearConv"] == 2


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (convolution("Relu", zero_point=0), {"QCodebookConv": 1}),
        (convolution("Relu", zero_point=9), {"QCodebookConv": 1, "Clip": 1}),
        (convolution("Clip"), {"QCodebookConv": 1, "Clip": 1}),
        (convolution("Tanh"), {"QCodebookConv": 1, "Tanh": 1, "QuantizeLinear": 2}),
        (convolution("Add"), {"QCodebookConvAdd": 1}),
        (convolution(group=4), {"QCodebookConv": 1}),
    ],
    ids=["relu", "relu-over-zero-point", "clip", "table", "residual", "groups"],
)
def test_what_follows_a_packed_convolution(model: ir.Model, wanted: dict[str, int]) -> None:
    _, counts, notes = lowered(model)
    assert {op: counts[op] for op in wanted} == wanted
    plain = lower(model, [PACKED])[0]
    assert counts["Transpose"] == sum(n.op_type == "Transpose" for n in plain.graph)
    assert not reasons(notes)
    assert_equal(model)


def product(after: str = "", op: str = "Gemm") -> ir.Model:
    """A matrix product with few weight values, 64 to 96; then `after`, and a quantiser unless it is the last."""
    net = Net(5, 64) if op == "MatMul" else Net(64)
    x = net.quantise("x")
    if after == "Add":
        other = net.add("Gemm", x, net.weights(net.integers(96, 64)), net.bias(96), transB=1)
        other = net.quantise(other, 0.07, 90)
    w = net.few(96, 64, levels=6)
    if op == "Gemm":
        y = net.add("Gemm", x, net.weights(w), net.bias(96), transB=1)
    else:
        y = net.add("MatMul", x, net.weights(w.T.copy(), axis=1))
        y = net.add("Add", y, net.constant(net.rng.normal(size=96).astype(np.float32)))
    if after == "last":
        return net.model(y)
    if after == "Add":
        y = net.add("Add", net.quantise(y, 0.06, 110), other)
    elif after:
        y = net.add(after, net.quantise(y, 0.06, 110))
    return net.model(net.quantise(y, SCALE, 100))


TWO_QUANTISERS = {"QuantizeLinear": 2, "DequantizeLinear": 2}


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (product(), {"QCodebookGemm": 1}),
        (product(op="MatMul"), {"QCodebookGemm": 1}),
        (product("Add"), {"QCodebookGemm": 1, "QGemm": 1, "QAdd": 1}),
        (product("Tanh"), {"QCodebookGemm": 1, "Tanh": 1, **TWO_QUANTISERS}),
        (product("HardSwish", "MatMul"), {"QCodebookGemm": 1, "HardSwish": 1, **TWO_QUANTISERS}),
    ],
    ids=["gemm", "matmul", "residual", "table", "matmul-table"],
)
def test_what_follows_a_packed_product(
    model: ir.Model, wanted: dict[str, int], tmp_path: Path
) -> None:
    result, counts, _ = lowered(model)
    assert counts == {"QuantizeLinear": 1, "DequantizeLinear": 1, **wanted}
    x = images(*(2, 5, 64) if model.graph.inputs[0].shape.rank() == 3 else (9, 64))
    assert_equal(model, x)
    assert fused(result, tmp_path)["QGemm"] == sum("Gemm" in op for op in wanted)


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_last_product_that_stays_float_is_packed_too(op: str) -> None:
    model = product("last", op)
    result, counts, notes = lowered(model)
    assert counts == {"QuantizeLinear": 1, "DequantizeLinear": 1, "CodebookGemm": 1}
    assert not reasons(notes)
    x = images(*(2, 5, 64) if op == "MatMul" else (9, 64))
    wanted = outputs(model, x, optimise=False)[0]
    for native in (False, True) if ops.library_path() else (False,):
        got = outputs(result, x, native=native)[0]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def weights_only(kind: str) -> ir.Model:
    """Float activations; int8 weights of few values behind DequantizeLinear, each channel with its scale."""
    net = Net(32, 6, 6)
    scales = net.constant(net.rng.uniform(0.001, 0.01, 64).astype(np.float32))
    w = net.constant(net.few(64, 32, 3, 3, levels=4))
    w = net.add("DequantizeLinear", w, scales, axis=0)
    bias = {
        "float-bias": lambda: net.constant(net.rng.normal(size=64).astype(np.float32)),
        "int32-bias": lambda: net.bias(64),
        "no-bias": lambda: "",
        "read-twice": lambda: "",
    }[kind]()
    y = net.add("Conv", *["x", w, bias][: 3 if bias else 2], pads=[1] * 4, strides=[2, 2])
    if kind == "read-twice":
        return net.model(y, net.add("ReduceMax", w))
    return net.model(net.add("Relu", y))


@pytest.mark.parametrize("kind", ["float-bias", "int32-bias", "no-bias"])
def test_graph_whose_weights_alone_are_quantised(kind: str) -> None:
    model = weights_only(kind)
    result, counts, _ = lowered(model)
    assert counts == {"CodebookConv": 1, "Relu": 1}
    wanted = outputs(model, X, optimise=False)[0]
    for native in (False, True) if ops.library_path() else (False,):
        got = outputs(result, X, native=native)[0]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def tiny() -> ir.Model:
    net = Net(8, 8, 8)
    y = net.conv(net.quantise("x"), 8, 8, integers=net.few(8, 8, 3, 3))
    return net.model(net.quantise(y, SCALE, 120))


def depthwise() -> ir.Model:
    """9 weights in each channel: never more than 16 values, and no saving."""
    net = Net(512, 6, 6)
    y = net.conv(net.quantise("x"), 512, 512, group=512)
    return net.model(net.quantise(y, SCALE, 120))


def pointwise() -> ir.Model:
    """16 weights in each channel, eight bits each."""
    net = Net(16, 6, 6)
    return net.model(net.quantise(net.conv(net.quantise("x"), 512, 16, (1, 1)), SCALE, 120))


@pytest.mark.parametrize("make", [tiny, depthwise, pointwise])
def test_layer_that_would_not_get_smaller_keeps_eight_bits(make: Callable[[], ir.Model]) -> None:
    assert set(made(lower(make())[0])) <= {"QConv", "grouped QConv"}


def test_small_float_layer_and_weights_that_others_read_are_left() -> None:
    net = Net(16)
    w = net.weights(net.few(10, 16))
    assert not made(lower(net.model(net.add("Gemm", net.quantise("x"), w, transB=1)))[0])
    assert not made(lower(weights_only("read-twice"))[0])


def test_small_layers_are_packed_beside_a_large_one() -> None:
    net = Net(32, 6, 6)
    y = net.quantise("x")
    for w in (net.few(64, 32, 3, 3), net.few(8, 64, 3, 3, levels=9)):
        y = net.quantise(net.conv(y, *w.shape[:2], integers=w), SCALE, 110)
    notes = lowered(net.model(y))[2]
    packed = [(n.why, n.numbers) for n in notes if n.name == "packed weights"]
    # 64 * 32 * 9 / 4 + 4, and 8 * 64 * 9 / 2 + 16
    numbers = {"packed_bytes": 4612 + 2320, "int8_bytes": 18432 + 4608}
    assert packed == [("1 layers in 2 bits, 1 layers in 4 bits", numbers)]


def test_packed_layers_stay_when_their_family_is_left_out() -> None:
    result = lower(convolution("Add"), FAMILIES)[0]
    assert made(result) == {PACKED: 1}
    assert_same(convolution("Add"), result, X, SCALE)
    clipped = lower(convolution("Clip"), FAMILIES)[0]
    assert [n.op_type for n in clipped.graph if n.op_type in ("Clip", "QCodebookConv")] == [
        "QCodebookConv",
        "Clip",
    ]


def test_fastest_keeps_packed_layers_that_are_not_fast(tmp_path: Path) -> None:
    model = convolution("Add")
    ir.save(model, tmp_path / "plain.onnx")

    def ratio(a: Path, b: Path) -> float:
        """The more nodes of ours, the slower."""
        counts = [sum(made(ir.load(p)).values()) for p in (a, b)]
        return (1 + counts[0]) / (1 + counts[1])

    found = fastest(model, tmp_path / "plain.onnx", tmp_path, ratio, lambda _: None)
    assert found is not None
    chosen, slower = found
    assert (chosen.made, chosen.packed, slower) == ({PACKED: 1}, 1, 2.0)
    assert made(ir.load(chosen.path)) == {PACKED: 1}


def test_shortcut_of_a_network_of_eight_bits_is_no_reason_for_a_codebook_op() -> None:
    found = made(lower(shortcut(packed=False))[0])
    assert found == {"QConv": 3}
    result = assert_equal(shortcut(packed=True))
    assert made(result) == {PACKED: 3}
    shapes = [n.attributes["w_shape"].value for n in result.graph if "w_shape" in n.attributes]
    assert sorted(shapes) == [(32, 32, 3, 3), (64, 32, 1, 1), (64, 32, 3, 3)]


def shortcut(*, packed: bool) -> ir.Model:
    """A residual block whose shortcut is slices and zero channels: a convolution with ones and zeros."""
    net = Net(32, 6, 6)
    first, w = (net.few(n, 32, 3, 3) if packed else None for n in (32, 64))
    x = net.quantise(net.conv(net.quantise("x"), 32, 32, integers=first), SCALE, 100)
    ends = [net.constant(np.array([v, v], np.int64)) for v in (0, 2**31)]
    axes, steps = (net.constant(np.array(v, np.int64)) for v in ([2, 3], [2, 2]))
    short = net.add("Slice", x, *ends, axes, steps)
    short = net.add("Pad", short, net.constant(np.array([0, 16, 0, 0, 0, 16, 0, 0], np.int64)))
    branch = net.quantise(net.conv(x, 64, 32, strides=[2, 2], integers=w), 0.04, 128)
    return net.model(net.quantise(net.add("Add", branch, short), 0.06, 90))
