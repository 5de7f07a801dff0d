"""Lowering of matrix products, pools, sums and concatenations, and the layout between all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import ops
from squeeze.graph.lower import FAMILIES, lower, made
from tests.graph.qdq import Net, assert_same, fused, images, lowered, reasons

SCALE = 0.05
X = images(2, 8, 8, 8)


def product(op: str, after: str = "") -> ir.Model:
    """Two matrix products on rows [batch, 5, 16] or [batch, 16], the second on the float result's grid."""
    net = Net(5, 16) if op == "MatMul" else Net(16)
    x = net.quantise("x")
    w = net.integers(12, 16) if op == "Gemm" else net.integers(16, 12)
    weights = net.weights(w, axis=0 if op == "Gemm" else 1)
    if op == "Gemm":
        y = net.add("Gemm", x, weights, net.bias(12), transB=1)
    else:
        row = net.constant(net.rng.normal(size=12).astype(np.float32))
        y = net.add("Add", row, net.add("MatMul", x, weights))
    if after == "residual":
        other = net.quantise(
            net.add("Gemm", x, net.weights(net.integers(12, 16)), transB=1), 0.07, 90
        )
        y = net.add("Add", net.quantise(y, 0.06, 110), other)
    elif after:
        y = net.add(after, net.quantise(y, 0.06, 110))
    return net.model(net.quantise(y, SCALE, 0 if after == "Relu" else 100))


@pytest.mark.parametrize(
    ("op", "after", "wanted"),
    [
        ("Gemm", "", {"QGemm": 1}),
        ("Gemm", "Relu", {"QGemmLookup": 1}),
        ("Gemm", "Tanh", {"QGemmLookup": 1}),
        ("Gemm", "residual", {"QGemm": 1, "QGemmAdd": 1}),
        ("MatMul", "", {"QGemm": 1}),
        ("MatMul", "HardSwish", {"QGemmLookup": 1}),
    ],
)
def test_matrix_products(op: str, after: str, wanted: dict[str, int], tmp_path: Path) -> None:
    model = product(op, after)
    result, counts, _ = lowered(model)
    assert counts == {"QuantizeLinear": 1, "DequantizeLinear": 1, **wanted}
    assert_same(model, result, images(*(2, 5, 16) if op == "MatMul" else (9, 16)), SCALE)
    assert fused(result, tmp_path)["QGemm"] == sum(wanted.values())


def test_last_product_stays_float_and_the_note_says_why() -> None:
    net = Net(16)
    weights = net.weights(net.integers(12, 16))
    model = net.model(net.add("Gemm", net.quantise("x"), weights, net.bias(12), transB=1))
    result, _, notes = lowered(model)
    assert not made(result)
    assert reasons(notes) == ["its result is not quantised at once"]


def test_float_bias_per_row_is_left_alone_where_there_are_as_many_rows_as_outputs() -> None:
    net = Net(16)
    bias = net.constant(np.ones((12, 1), np.float32))
    y = net.add("Gemm", net.quantise("x"), net.weights(net.integers(12, 16)), bias, transB=1)
    result, _, notes = lowered(net.model(net.quantise(y, SCALE, 100)))
    assert not made(result)
    assert reasons(notes) == ["its bias is not one number per output channel"]


def test_tail_of_a_classifier_needs_no_transpose() -> None:
    for pool in ("GlobalAveragePool", "ReduceMean", "AveragePool"):
        net = Net(8, 8, 8)
        y = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8)), SCALE)
        y = net.quantise(net.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), SCALE)
        y = net.quantise(net.add("Relu", net.conv(y, 16, 8)), SCALE)
        if pool == "ReduceMean":
            axes = net.constant(np.array([-1, -2], np.int64))
            y = net.add("ReduceMean", y, axes, keepdims=0)
        else:
            kernel = {"kernel_shape": [4, 4]} if pool == "AveragePool" else {}
            y = net.add("Flatten", net.quantise(net.add(pool, y, **kernel), 0.05))
        y = net.add("Gemm", net.quantise(y, 0.05), net.weights(net.integers(10, 16)), transB=1)
        model = net.model(net.quantise(y, SCALE, 120))
        result, counts, _ = lowered(model)
        assert counts == {
            "QuantizeLinear": 1,
            "QConv": 2,
            "QMaxPool": 1,
            "QGlobalAveragePool": 1,
            "Flatten": 1,
            "QGemm": 1,
            "DequantizeLinear": 1,
        }
        assert_same(model, result, X, SCALE)


def joined(op: str, *, parts: int = 2, limit: bool = False) -> ir.Model:
    """Convolutions with a table each, so that no convolution takes the sum; joined; convolved again."""
    net = Net(8, 8, 8)
    x = net.quantise("x")
    ends = [
        net.quantise(
            net.add("Tanh", net.quantise(net.conv(x, 8, 8), 0.02, 128)), 1 / 127 + i / 999, 128
        )
        for i in range(parts)
    ]
    y = net.add(op, *ends, **({"axis": 1} if op == "Concat" else {}))
    y = net.add("Relu", y) if limit else y
    channels = 8 * parts if op == "Concat" else 8
    y = net.quantise(y, SCALE, 30 if limit else 120)
    return net.model(net.quantise(net.conv(y, 8, channels), SCALE, 120))


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (joined("Add"), {"QAdd": 1}),
        (joined("Add", limit=True), {"QAdd": 1, "Clip": 1}),
        (joined("Concat"), {"QConcat": 1}),
        (joined("Concat", parts=3), {"QConcat": 2}),
    ],
    ids=["add", "add-relu", "concat", "concat-3"],
)
def test_joins_keep_a_chain_unbroken(model: ir.Model, wanted: dict[str, int]) -> None:
    result, counts, _ = lowered(model)
    assert {op: counts[op] for op in wanted} == wanted
    # The input of the graph, which all first convolutions read.
    assert counts["Transpose"] == 1
    assert counts["DequantizeLinear"] == 1
    assert_same(model, result, X, SCALE)


def test_join_of_many_tensors_of_which_only_the_last_is_ours_is_whole() -> None:
    net = Net(8, 8, 8)
    x = net.quantise("x")
    moved = [net.quantise(net.add("Sin", "x"), 0.01, 128) for _ in range(2)]
    ours = net.quantise(net.conv(x, 8, 8), SCALE, 120)
    y = net.quantise(net.add("Concat", *moved, ours, axis=1), SCALE, 120)
    model = net.model(net.quantise(net.conv(y, 8, 24), SCALE, 120))
    result, counts, _ = lowered(model)
    assert counts["QConcat"] == 2
    assert_same(model, result, X, SCALE)


def halves() -> ir.Model:
    """Both halves of an image and a branch from one of them, with narrow limits, joined and convolved: size is open."""
    net = Net(8, "height", "width")
    x = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8)), SCALE)
    parts = [net.constant(np.array([v], np.int64)) for v in (0, 4, 8, 1)]
    a, b = (net.quantise(net.add("Slice", x, *parts[i : i + 2], parts[3]), SCALE) for i in range(2))
    limits = [net.constant(np.float32(v)) for v in (0.5, 6)]
    branch = net.quantise(net.conv(b, 4, 4), 0.04, 128)
    total = net.quantise(net.add("Clip", net.add("Add", branch, b), *limits), SCALE)
    others = net.quantise(net.add("Clip", net.add("Add", a, b), *limits), SCALE)
    y = net.quantise(net.add("Concat", a, b, others, total, axis=1), SCALE)
    return net.model(net.quantise(net.conv(y, 8, 16), SCALE, 120))


@pytest.mark.parametrize("without", [(), *((f,) for f in FAMILIES), ("QConv", "QAdd")])
def test_nodes_that_belong_together_are_made_together_or_not_at_all(
    without: tuple[str, ...],
) -> None:
    result, _ = lower(halves(), without)
    known = {*result.graph.inputs, *result.graph.initializers.values()}
    for node in result.graph:
        assert known.issuperset(node.inputs), node.op_type
        known |= set(node.outputs)
    assert_same(halves(), result, images(2, 8, 6, 10), SCALE, share=0.1)


def test_join_of_tensors_that_are_not_ours_is_left_alone() -> None:
    net = Net(8, 8, 8)
    a, b = net.quantise("x"), net.quantise(net.add("Sin", "x"), 0.01, 128)
    result, counts, _ = lowered(net.model(net.quantise(net.add("Add", a, b), SCALE, 100)))
    assert not made(result)
    assert counts["Add"] == 1


def test_one_transpose_where_another_operator_reads_between() -> None:
    net = Net(8, 8, 8)
    y = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8)), SCALE)
    other = net.add("Sin", y)
    model = net.model(
        net.quantise(net.conv(net.quantise(net.conv(y, 8, 8), SCALE, 9), 8, 8), SCALE, 99), other
    )
    result, counts, _ = lowered(model)
    assert counts["Transpose"] == 1
    assert_same(model, result, X, SCALE)


def test_families_can_be_left_out() -> None:
    model = joined("Concat")
    assert set(made(lower(model)[0])) == {"QConv", "QConcat"}
    for family in FAMILIES:
        assert family not in made(lower(model, [family])[0])
    assert ops.DOMAIN not in lower(model, FAMILIES)[0].graph.opset_imports


def test_sum_of_a_product_and_a_sequence_keeps_the_layout_of_the_product() -> None:
    net = Net(8, 16)
    a = net.quantise(net.conv(net.quantise("x"), 8, 8, (3,)), SCALE, 120)
    a = net.quantise(net.add("Tanh", a), 1 / 127, 128)
    b = net.add("MatMul", net.quantise("x"), net.weights(net.integers(16, 16), axis=1))
    b = net.quantise(net.add("Tanh", net.quantise(b, SCALE, 120)), 1 / 127, 128)
    y = net.quantise(net.add("Add", a, b), SCALE, 128)
    model = net.model(net.quantise(net.conv(y, 8, 8, (3,)), SCALE, 120))
    assert_same(model, lowered(model)[0], images(2, 8, 16), SCALE, share=0.1)
