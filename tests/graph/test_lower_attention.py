"""Lowering of attention in 8 bits, and of functions behind float products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.account.weigh import complexity
from squeeze.graph.files import save
from squeeze.graph.lower import made
from tests.graph.qdq import Net, assert_same, images, lowered, outputs, reasons

LENGTH, HEADS, SIZE = 6, 2, 8
WIDTH = HEADS * SIZE
SCALE = 0.02
X = images(2, LENGTH, WIDTH)
# Of numbers that are a step off: the op stores shares of the largest probability, the graph probabilities.
BY_SHARES = 0.3


class Block(Net):
    """Attention of x with itself, quantised as `squeeze quantize` does it."""

    def project(self, x: str) -> str:
        weights = self.weights(self.integers(WIDTH, WIDTH), 0.004, axis=1)
        return self.quantise(self.add("MatMul", x, weights), SCALE, 128)

    def heads(self, x: str, *perm: int) -> str:
        shape = self.constant(np.array([0, LENGTH, HEADS, SIZE], np.int64))
        moved = self.quantise(self.add("Reshape", x, shape), SCALE, 128)
        return self.quantise(self.add("Transpose", moved, perm=perm), SCALE, 128)

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def joined(self, mixed: str, *, rows: bool = False) -> str:
        turned = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        shape = self.constant(np.array([-1, WIDTH] if rows else [0, LENGTH, WIDTH], np.int64))
        return self.add("Reshape", turned, shape)


def attention(
    *,
    scaling: str = "Div",
    mask: tuple[int, ...] | None = (1, 1, 1, LENGTH),
    early: bool = False,
    twice: bool = False,
    quantised_scores: bool = False,
    float_result: bool = False,
    guarded: bool = False,
    float_probabilities: bool = False,
    rows: bool = False,
) -> ir.Model:
    """early: queries and keys are multiplied, not their product. twice: keys are turned in two steps. guarded: as torch
    exports it, 0 where Softmax is no number, which the first query has. rows: joined to [batch * length, width]."""
    net = Block(LENGTH, WIDTH)
    x = net.quantise("x")
    q, v = (net.heads(net.project(x), 0, 2, 1, 3) for _ in "qv")
    if twice:
        k = net.add("Transpose", net.heads(net.project(x), 0, 2, 1, 3), perm=[0, 1, 3, 2])
    else:
        k = net.heads(net.project(x), 0, 2, 3, 1)
    if early:
        q, k = (net.add("Mul", one, net.number(0.6)) for one in (q, k))
    scores = net.add("MatMul", q, k)
    if not early:
        factor = SIZE**0.5 if scaling == "Div" else SIZE**-0.5
        scores = net.add(scaling, scores, net.number(factor))
    if quantised_scores:
        scores = net.quantise(scores, 0.01, 128)
    if mask is not None:
        numbers = net.rng.normal(size=mask).astype(np.float32)
        if guarded:
            numbers[..., 0, :] = -np.inf
        scores = net.add("Add", net.constant(numbers), scores)
    p = net.add("Softmax", scores, axis=-1)
    if guarded:
        p = net.add("Where", net.add("IsNaN", p), net.number(0), p)
    mixed = net.add("MatMul", p if float_probabilities else net.quantise(p, 1 / 255, 0), v)
    if float_result:
        return net.model(net.joined(mixed))
    joined = net.joined(net.quantise(mixed, SCALE, 120), rows=rows)
    return net.model(net.quantise(joined, SCALE, 120))


@pytest.mark.parametrize(
    "model",
    [
        attention(),
        attention(scaling="Mul", mask=(LENGTH, LENGTH)),
        attention(mask=(1, HEADS, LENGTH, LENGTH)),
        attention(mask=None),
        attention(early=True),
        attention(twice=True),
    ],
)
def test_attention_becomes_one_node(model: ir.Model) -> None:
    result, counts, _ = lowered(model)
    assert made(result) == {"QGemm": 3, "QAttention": 1}
    assert not counts.keys() & {"MatMul", "Reshape", "Softmax", "Transpose"}
    assert_same(model, result, X, SCALE, BY_SHARES)


def test_heads_that_are_joined_to_rows_are_put_in_that_shape_behind_it() -> None:
    model = attention(rows=True)
    result, counts, _ = lowered(model)
    assert made(result) == {"QGemm": 3, "QAttention": 1}
    assert counts["Reshape"] == 1
    assert not counts.keys() & {"MatMul", "Softmax", "Transpose"}
    assert_same(model, result, X, SCALE, BY_SHARES)


def test_probabilities_are_nearer_to_float_ones_than_on_one_grid() -> None:
    wanted = outputs(attention(float_probabilities=True), X, optimise=False)[0]
    model = attention()
    plain = np.abs(outputs(model, X, optimise=False)[0] - wanted).mean()
    for native in (True, False):
        found = outputs(lowered(model)[0], X, native=native)[0]
        assert np.abs(found - wanted).mean() < 0.9 * plain


def test_guard_of_queries_without_keys_is_kept() -> None:
    model = attention(mask=(LENGTH, LENGTH), guarded=True)
    result, counts, _ = lowered(model)
    assert counts["QAttentionGuarded"] == made(result)["QAttention"] == 1
    assert not counts.keys() & {"IsNaN", "Softmax", "Where"}
    assert_same(model, result, X, SCALE, BY_SHARES)
    # A query without keys gives nothing, which is the zero point of the result.
    for native in (True, False):
        np.testing.assert_array_equal(outputs(result, X, native=native)[0][:, 0], 0)


@pytest.mark.parametrize("mask", [None, (1, 1, 1, LENGTH)])
def test_quantised_scores_are_computed_in_float(mask: tuple[int, ...] | None) -> None:
    (result, _, _), (wanted, _, _) = (
        lowered(attention(mask=mask, quantised_scores=given)) for given in (True, False)
    )
    assert made(result) == made(wanted) == {"QGemm": 3, "QAttention": 1}
    np.testing.assert_array_equal(outputs(result, X)[0], outputs(wanted, X)[0])


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (attention(mask=(1, 1, 1, 1, LENGTH)), "not over the last of four dimensions"),
        (attention(float_result=True), "result is not quantised at once"),
    ],
)
def test_what_does_not_fit_is_left_and_the_notes_say_why(model: ir.Model, why: str) -> None:
    result, _, notes = lowered(model)
    assert "QAttention" not in made(result)
    assert any(why in reason for reason in reasons(notes)), reasons(notes)


def packed(*, way: str) -> ir.Model:
    """Queries, keys and values are parts of one layer, as in vision transformers; keys are turned among three axes."""
    net = Block(LENGTH, WIDTH)
    weights = net.weights(net.integers(WIDTH, 3 * WIDTH), 0.004, axis=1)
    whole = net.quantise(net.add("MatMul", net.quantise("x"), weights), SCALE, 128)
    shape = net.constant(np.array([0, LENGTH, 3, HEADS, SIZE], np.int64))
    parts = net.add("Transpose", net.add("Reshape", whole, shape), perm=[2, 0, 3, 1, 4])

    def part(index: int) -> str:
        if way == "Gather":
            return net.add("Gather", parts, net.constant(np.int64(index)), axis=0)
        ends = (net.constant(np.array([n], np.int64)) for n in (index, index + 1, 0))
        one = net.add("Slice", parts, *ends)
        return net.add("Squeeze", one, net.constant(np.array([0], np.int64)))

    q, k, v = (net.quantise(part(index), SCALE, 128) for index in range(3))
    flat = net.constant(np.array([-1, LENGTH, SIZE], np.int64))
    back = net.constant(np.array([-1, HEADS, SIZE, LENGTH], np.int64))
    turned = net.add("Transpose", net.add("Reshape", k, flat), perm=[0, 2, 1])
    k = net.quantise(net.add("Reshape", turned, back), SCALE, 128)
    half = SIZE**-0.25
    q, k = (net.quantise(net.add("Mul", x, net.number(half)), SCALE * half, 128) for x in (q, k))
    p = net.quantise(net.add("Softmax", net.add("MatMul", q, k), axis=-1), 1 / 255, 0)
    mixed = net.quantise(net.add("MatMul", p, v), SCALE, 120)
    return net.model(net.quantise(net.joined(mixed), SCALE, 120))


@pytest.mark.parametrize("way", ["Gather", "Slice"])
def test_parts_of_one_layer_are_cut_out(way: str) -> None:
    model = packed(way=way)
    result, counts, _ = lowered(model)
    assert made(result) == {"QGemm": 1, "QAttention": 1}
    assert counts["Slice"] == 3
    assert not counts.keys() & {"MatMul", "Reshape", "Softmax", "Transpose"}
    assert_same(model, result, X, SCALE, BY_SHARES)


def of_open_length() -> ir.Model:
    """As torch's exporter writes attention of any length: sizes from Shape, the number of heads left to Reshape, keys
    turned among three axes, a mask that comes of an input."""
    net = Block("length", WIDTH)
    x = net.quantise("x")

    def sizes(*further: int, of: str = "x", axes: tuple[int, ...] = (0, 1)) -> str:
        parts = [net.add("Shape", of, start=axis, end=axis + 1) for axis in axes]
        return net.add("Concat", *parts, net.constant(np.array(further, np.int64)), axis=0)

    def heads() -> str:
        moved = net.quantise(net.add("Reshape", net.project(x), sizes(-1, SIZE)), SCALE, 128)
        return net.quantise(net.add("Transpose", moved, perm=[0, 2, 1, 3]), SCALE, 128)

    q, k, v = heads(), heads(), heads()
    flat = net.add("Concat", net.constant(np.array([-1], np.int64)), sizes(SIZE, axes=(1,)), axis=0)
    turned = net.add("Transpose", net.add("Reshape", k, flat), perm=[0, 2, 1])
    back = [net.add("Shape", k, start=a, end=a + 1) for a in (0, 1)]
    last = [net.constant(np.array([SIZE], np.int64)), net.add("Shape", "x", start=1, end=2)]
    k = net.quantise(
        net.add("Reshape", turned, net.add("Concat", *back, *last, axis=0)), SCALE, 128
    )
    hidden = net.add(
        "Less",
        net.add("ReduceMax", "x", net.constant(np.array([2], np.int64)), keepdims=0),
        net.number(0.3),
    )
    row = net.add("Unsqueeze", hidden, net.constant(np.array([1, 2], np.int64)))
    mask = net.add("Where", row, net.number(-1e9), net.number(0))
    scores = net.add("Mul", net.add("MatMul", q, k), net.number(SIZE**-0.5))
    p = net.add("Softmax", net.add("Add", scores, mask), axis=-1)
    mixed = net.quantise(net.add("MatMul", net.quantise(p, 1 / 255, 0), v), SCALE, 120)
    joined = net.add("Reshape", net.add("Transpose", mixed, perm=[0, 2, 1, 3]), sizes(-1))
    return net.model(net.quantise(joined, SCALE, 120))


@pytest.mark.parametrize("length", [LENGTH, 11])
def test_attention_of_any_length(length: int) -> None:
    model = of_open_length()
    result, counts, notes = lowered(model)
    assert counts["QAttention"] == 1, reasons(notes)
    assert not counts.keys() & {"MatMul", "Softmax"}
    assert_same(model, result, images(2, length, WIDTH), SCALE, BY_SHARES)


def behind_a_product(function: str, *, biased: bool = True) -> ir.Model:
    """The function of a float product, quantised."""
    net = Block(LENGTH, WIDTH)
    weights = net.weights(net.integers(WIDTH, WIDTH), 0.02, axis=1)
    y = net.add("MatMul", net.quantise("x"), weights)
    if biased:
        y = net.add("Add", y, net.constant(net.rng.normal(size=WIDTH).astype(np.float32)))
    if function == "Gelu":
        erf = net.add("Erf", net.add("Div", y, net.number(2**0.5)))
        y = net.add("Mul", net.add("Mul", y, net.number(0.5)), net.add("Add", erf, net.number(1)))
    elif function == "SiLU":
        y = net.add("Mul", y, net.add("Sigmoid", y))
    else:
        y = net.add(function, y)
    return net.model(net.quantise(y, 0.01, 40))


@pytest.mark.parametrize("function", ["Gelu", "SiLU", "HardSwish", "Tanh"])
@pytest.mark.parametrize("biased", [True, False])
def test_function_of_a_float_product_becomes_a_fine_table(function: str, biased: bool) -> None:
    model = behind_a_product(function, biased=biased)
    result, counts, _ = lowered(model)
    assert made(result) == {"QRealLookup": 1}
    assert counts["QRealLookup"] == 1
    assert_same(model, result, X, 0.01)


def test_relu_of_a_product_is_no_table() -> None:
    result, _, _ = lowered(behind_a_product("Relu"))
    assert made(result) == {"QGemm": 1}


def test_products_inside_are_counted_as_before(tmp_path: Path) -> None:
    model = attention()
    files = tmp_path / "plain.onnx", tmp_path / "lowered.onnx"
    for file, written in zip(files, (model, lowered(model)[0]), strict=True):
        save(written, file)
    plain, fused = (complexity(file, {"x": (1, LENGTH, WIDTH)}) for file in files)
    # Three layers, and for each head two products of LENGTH x SIZE x LENGTH.
    assert plain.macs == 3 * LENGTH * WIDTH**2 + 2 * HEADS * LENGTH**2 * SIZE
    assert (fused.macs, fused.unknown) == (plain.macs, ())
