"""Lowering of convolutions: every way of writing them becomes the same node, with the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.lower import made
from tests.graph.qdq import Net, assert_same, fused, images, lowered, outputs, reasons

SCALE = 0.05
X = images(2, 8, 8, 8)


def between(
    *activation: str, zero_point: int = 0, quantised_first: bool = False, **attributes: float
) -> ir.Model:
    """Conv -> the operators -> quantiser; a Clip has limits 0 and 6."""
    net = Net(8, 8, 8)
    y = net.conv(net.quantise("x"), 8, 8)
    if quantised_first:
        y = net.quantise(y, 0.1, 120)
    for op in activation:
        limits = [net.constant(np.float32(v)) for v in (0, 6)] if op == "Clip" else []
        y = net.add(op, y, *limits, **attributes)
    return net.model(net.quantise(y, SCALE, zero_point))


@pytest.mark.parametrize(
    ("model", "op"),
    [
        (between(), "QConv"),
        (between("Relu"), "QConv"),
        (between("Relu", zero_point=9), "QConvLookup"),
        (between("Clip"), "QConvLookup"),
        (between("Relu", "Clip", zero_point=3), "QConvLookup"),
        (between("HardSigmoid", quantised_first=True), "QConvLookup"),
        (between("Relu", quantised_first=True), "QConvLookup"),
        (between("LeakyRelu", quantised_first=True, zero_point=40, alpha=0.1), "QConvLookup"),
        (between("Tanh", "Relu", quantised_first=True, zero_point=1), "QConvLookup"),
    ],
    ids=[
        "plain",
        "relu",
        "relu-over-zero-point",
        "clip",
        "relu-clip",
        "hard-sigmoid",
        "relu-after-quantiser",
        "leaky",
        "two",
    ],
)
def test_what_follows_becomes_saturation_or_a_table(model: ir.Model, op: str) -> None:
    result, counts, notes = lowered(model)
    assert counts == {"QuantizeLinear": 1, op: 1, "DequantizeLinear": 1}
    assert not reasons(notes)
    assert_same(model, result, X, SCALE)


def swish(*, beta: float | None = None, quantised: bool = False) -> ir.Model:
    """Conv -> x * sigmoid(x) or x * hard_sigmoid(x), in float or with quantisers everywhere."""
    net = Net(8, 8, 8)
    conv = net.conv(net.quantise("x"), 8, 8)
    conv = net.quantise(conv, 0.1, 120) if quantised else conv
    gate = net.add("Sigmoid", conv) if beta is None else net.add("HardSigmoid", conv, alpha=beta)
    gate = net.quantise(gate, 1 / 255) if quantised else gate
    return net.model(net.quantise(net.add("Mul", conv, gate), 0.05, 6))


@pytest.mark.parametrize(
    "model",
    [swish(), swish(beta=1 / 6), swish(quantised=True), swish(beta=1 / 6, quantised=True)],
    ids=["float", "hard-float", "quantised", "hard-quantised"],
)
def test_swish_written_out_is_one_table(model: ir.Model, tmp_path: Path) -> None:
    result, counts, _ = lowered(model)
    assert counts == {"QuantizeLinear": 1, "QConvLookup": 1, "DequantizeLinear": 1}
    assert_same(model, result, X, 0.05, share=0.4)
    assert fused(result, tmp_path)["QLinearConv"] == 1


def test_function_that_no_grid_holds_is_left_alone() -> None:
    net = Net(8, 8, 8)
    y = net.add("Mul", net.conv(net.quantise("x"), 8, 8), net.constant(np.float32(9)))
    model = net.model(net.quantise(net.add("Tanh", y), 1 / 127, 128))
    result, counts, notes = lowered(model)
    assert counts["Conv"] == 1
    assert reasons(notes) == [
        "Mul and Tanh follows in float, and no 8-bit grid before it keeps the result within a step"
    ] or not made(result)


def variant(kind: str) -> ir.Model:
    """The same convolution as its writers put it down."""
    net = Net(8, 8, 8)
    x, w = net.quantise("x"), net.integers(8, 8, 3, 3)
    weights, bias = "", net.bias(8)
    if kind == "uint8-weights":
        parts = [w.astype(np.int16) + 128, np.float32(0.00826), np.uint8(128)]
        weights = net.add(
            "DequantizeLinear", *(net.constant(v) for v in (parts[0].astype(np.uint8), *parts[1:]))
        )
    elif kind == "per-tensor":
        parts = [w, np.float32(0.00826), np.int8(0)]
        weights = net.add("DequantizeLinear", *(net.constant(v) for v in parts))
    elif kind == "float-behind-quantiser":
        grid = net.constant(np.full(8, 0.00826, np.float32)), net.constant(np.zeros(8, np.int8))
        real = net.constant(w.astype(np.float32) * np.float32(0.00826))
        integers = net.add("QuantizeLinear", real, *grid, axis=0)
        weights = net.add("DequantizeLinear", integers, *grid, axis=0)
    elif kind == "identity":
        parts = [net.add("Identity", net.constant(v)) for v in (w, np.float32(0.00826))]
        weights = net.add("DequantizeLinear", *parts)
    elif kind == "negative-axis":
        grid = net.constant(np.full(8, 0.00826, np.float32)), net.constant(np.zeros(8, np.int8))
        weights = net.add("DequantizeLinear", net.constant(w), *grid, axis=-4)
    else:
        weights = net.weights(w)
    if kind == "float-bias":
        bias = net.constant(net.rng.normal(size=8).astype(np.float32))
    pads = {"auto_pad": "SAME_UPPER"} if kind == "auto-pad" else {"pads": [1] * 4}
    inputs = [x, weights] if kind == "no-bias" else [x, weights, bias]
    return net.model(net.quantise(net.add("Conv", *inputs, **pads), SCALE, 120))


@pytest.mark.parametrize(
    "kind",
    [
        "auto-pad",
        "float-behind-quantiser",
        "float-bias",
        "identity",
        "negative-axis",
        "no-bias",
        "per-tensor",
        "uint8-weights",
    ],
)
def test_each_way_of_writing_weights_and_bias_is_read(kind: str) -> None:
    model = variant(kind)
    result, counts, notes = lowered(model)
    assert counts == {"QuantizeLinear": 1, "QConv": 1, "DequantizeLinear": 1}
    assert_same(model, result, X, SCALE)
    rounded = [n.why for n in notes if n.name == "lower bias"]
    wanted = "1 float biases are int32 now, off by half a step of x_scale * w_scale at most"
    assert rounded == ([wanted] if kind == "float-bias" else [])


def test_float_bias_is_rounded_by_half_a_step_at_most() -> None:
    net = Net(8, 8, 8)
    bias = np.linspace(-3, 3, 8).astype(np.float32)
    w = net.weights(net.integers(8, 8, 3, 3))
    y = net.add("Conv", net.quantise("x"), w, net.constant(bias))
    result, _, _ = lowered(net.model(net.quantise(y, SCALE, 120)))
    node = next(n for n in result.graph if n.op_type == "QConv")
    integers = node.inputs[5].const_value.numpy().astype(np.float64)
    step = np.float64(np.float32(0.05) * np.float32(0.00826))
    assert np.abs(integers * step - bias).max() <= step / 2 + 1e-9


def test_one_dimension_and_opsets(tmp_path: Path) -> None:
    for opset, ir_version in ((13, 7), (17, 8), (20, 9), (21, 10)):
        net = Net(8, 16, opset=opset, ir_version=ir_version)
        y = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8, (3,))), SCALE)
        model = net.model(net.quantise(net.conv(y, 4, 8, (5,), strides=[2]), SCALE, 100))
        result, counts, _ = lowered(model)
        assert counts["QConv"] == 2
        assert counts["Transpose"] == 0
        assert result.ir_version == max(ir_version, 8)
        assert_same(model, result, images(2, 8, 16), SCALE)
        assert fused(result, tmp_path)["QLinearConv"] == 2


def residual(*, relu: bool, zero_point: int, depthwise: bool = False) -> ir.Model:
    net = Net(8, 8, 8)
    x = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8)), SCALE)
    group = {"group": 8} if depthwise else {}
    branch = net.quantise(net.conv(x, 8, 8, **group), 0.04, 128)
    y = net.add("Add", x, branch)
    y = net.add("Relu", y) if relu else y
    y = net.quantise(y, SCALE, zero_point)
    return net.model(net.quantise(net.conv(y, 8, 8), SCALE, 120))


@pytest.mark.parametrize("group", [2, 4, 8])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 7)])
def test_groups_and_depthwise(group: int, kernel: tuple[int, int], tmp_path: Path) -> None:
    net = Net(8, 8, 8)
    y = net.conv(net.quantise("x"), 8, 8, kernel, group=group, strides=[2, 1])
    model = net.model(net.quantise(net.add("Relu", y), SCALE))
    result, counts, _ = lowered(model)
    assert counts == {"QuantizeLinear": 1, "QConv": 1, "DequantizeLinear": 1}
    assert made(result) == {"grouped QConv": 1}
    assert_same(model, result, X, SCALE)
    assert fused(result, tmp_path)["QLinearConv"] == 1


@pytest.mark.parametrize("depthwise", [False, True])
def test_addition_becomes_part_of_the_convolution(*, depthwise: bool) -> None:
    model = residual(relu=True, zero_point=0, depthwise=depthwise)
    result, counts, _ = lowered(model)
    assert (counts["QConv"], counts["QConvAdd"], counts["Transpose"]) == (2, 1, 0)
    assert_same(model, result, X, SCALE)


def test_relu_over_the_zero_point_of_a_sum_clips_the_integers() -> None:
    model = residual(relu=True, zero_point=30)
    result, counts, _ = lowered(model)
    assert (counts["QConvAdd"], counts["Clip"], counts["Transpose"]) == (1, 1, 0)
    assert_same(model, result, X, SCALE)


def test_shortcut_of_slices_and_zero_channels_is_an_exact_convolution() -> None:
    net = Net(8, 8, 8)
    x = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8)), SCALE, 0)
    ends = [net.constant(np.array([v, v], np.int64)) for v in (0, 2**31)]
    axes, steps = (net.constant(np.array(v, np.int64)) for v in ([2, 3], [2, 2]))
    short = net.add("Slice", x, *ends, axes, steps)
    short = net.add("Pad", short, net.constant(np.array([0, 4, 0, 0, 0, 4, 0, 0], np.int64)))
    branch = net.quantise(net.conv(x, 16, 8, strides=[2, 2]), 0.04, 128)
    model = net.model(net.quantise(net.add("Add", branch, short), 0.06, 90))
    result, counts, _ = lowered(model)
    assert (counts["QConv"], counts["QConvAdd"], counts["Slice"], counts["Pad"]) == (2, 1, 0, 0)
    assert_same(model, result, X, 0.06)


def refused(kind: str) -> ir.Model:
    net = Net(8, 8, 8, 8) if kind == "3-d" else Net(8, 8, 8)
    kernel = (3, 3, 3) if kind == "3-d" else (3, 3)
    if kind == "s8-input-of-graph":
        kind_of = "int8"
        x = net.add("QuantizeLinear", "x", *net.grid(0.05, 0, kind_of))
        x_float = net.add("DequantizeLinear", x, *net.grid(0.05, 0, kind_of))
        y = net.quantise(net.conv(x_float, 8, 8), 0.05, 7)
        return net.model(y, x)  # x leaves the graph
    x = "x" if kind == "float" else net.quantise("x")
    w = net.integers(8, 8, *kernel)
    weights = net.weights(w)
    bias = net.bias(8)
    if kind == "weights-zero-point":
        w[0, 0, 0, 0] = -127
        grid = net.constant(np.float32(0.00826)), net.constant(np.int8(2))
        weights = net.add("DequantizeLinear", net.constant(w), *grid)
    if kind == "bias-scale":
        bias = net.bias(8, scale=0.005)
    y = net.add("Conv", x, weights, bias)
    result = net.quantise(y, 0.05, 7)
    return net.model(result, y) if kind == "second-reader" else net.model(result)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("3-d", "weights of rank 5, not 3 or 4"),
        ("bias-scale", "the scale of its bias is not x_scale * w_scale"),
        ("float", "its input is not a quantised u8 tensor"),
        ("second-reader", "its result is not quantised at once"),
        ("weights-zero-point", "weights with a zero point that leaves int8"),
    ],
)
def test_other_convolution_is_left_alone_and_the_note_says_why(kind: str, reason: str) -> None:
    model = refused(kind)
    result, counts, notes = lowered(model)
    assert not made(result)
    assert counts["Conv"] == 1
    assert reasons(notes) == [reason]


def test_s8_that_leaves_the_graph_is_left_alone() -> None:
    net = Net(8, 8, 8)
    x = net.add("QuantizeLinear", "x", *net.grid(0.05, -20, "int8"))
    real = net.add("DequantizeLinear", x, *net.grid(0.05, -20, "int8"))
    net.quantise(net.conv(real, 8, 8), 0.05, 7)
    model = net.model(x, kind="int8")
    before = [n.op_type for n in model.graph]
    result, _, _ = lowered(model)
    assert outputs(result, X)[0].dtype == np.int8
    assert "QConv" not in before
