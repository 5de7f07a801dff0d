"""Lowering of sums that are normalised and quantised."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.lower import made
from tests.graph.qdq import Net, assert_same, images, lowered, reasons

WIDTH = 24
SCALE = 0.03
EPSILON = 1e-3
X = images(2, 5, WIDTH)


class Stack(Net):
    """Rows of WIDTH numbers between normalisations."""

    def row(self) -> str:
        return self.constant(self.rng.normal(size=WIDTH).astype(np.float32))

    def norm(self, x: str, **attributes: object) -> str:
        return self.add("LayerNormalization", x, self.row(), self.row(), **attributes)

    def root_norm(self, x: str, way: str) -> str:
        """By the root mean square, written as `way` says: what gives the square, the mean, and 1 by the root."""
        square, mean, factor = way.split("-")
        if square == "operator":
            return self.add("RMSNormalization", x, self.row(), epsilon=EPSILON, axis=-1)
        two = self.constant(np.float32(2))
        squared = self.add("Pow", x, two) if square == "Pow" else self.add("Mul", x, x)
        if mean == "pool":
            mean_square = self.add("GlobalAveragePool", squared)
        else:
            axes = self.constant(np.array([-1], np.int64))
            mean_square = self.add("ReduceMean", squared, axes)
        inside = self.add("Add", self.constant(np.float32(EPSILON)), mean_square)
        if factor == "power":
            one_by_root = self.add("Pow", inside, self.constant(np.float32(-0.5)))
        elif factor == "one":
            root = self.add("Sqrt", inside)
            one_by_root = self.add("Div", self.constant(np.float32(1)), root)
        elif factor == "reciprocal":
            one_by_root = self.add("Reciprocal", self.add("Sqrt", inside))
        else:
            normal = self.add("Div", x, self.add("Sqrt", inside))
            return self.add("Mul", normal, self.row())
        return self.add("Mul", self.row(), self.add("Mul", one_by_root, x))

    def product(self, x: str) -> str:
        weights = self.weights(self.integers(WIDTH, WIDTH), axis=1)
        return self.add("MatMul", x, weights)


def after_the_sum(*, biased: bool = True, **attributes: object) -> ir.Model:
    """x, and the product of x, are added and normalised; the next layer adds to what was normalised."""
    net = Stack(5, WIDTH)
    branch = net.product(net.quantise("x"))
    if biased:
        branch = net.add("Add", branch, net.row())
    norm = net.norm(net.add("Add", "x", branch), **attributes)
    y = net.add("Add", norm, net.product(net.quantise(norm, SCALE, 120)))
    return net.model(y)


def before_the_sum() -> ir.Model:
    """The next layer adds to the sum itself."""
    net = Stack(5, WIDTH)
    total = net.add("Add", net.product(net.quantise("x")), "x")
    y = net.add("Add", total, net.product(net.quantise(net.norm(total), SCALE, 120)))
    return net.model(y)


def read_early() -> ir.Model:
    """Somebody reads the sum before it is normalised."""
    net = Stack(5, WIDTH)
    total = net.add("Add", net.product(net.quantise("x")), "x")
    early = net.add("Neg", total)
    y = net.add("Add", early, net.product(net.quantise(net.norm(total), SCALE, 120)))
    return net.model(y)


def row_behind_the_sum() -> ir.Model:
    """A row is added to the sum of two tensors, of which one is the same for all in the batch."""
    net = Stack(5, WIDTH)
    same = net.constant(net.rng.normal(size=(1, 5, WIDTH)).astype(np.float32))
    total = net.add("Add", net.add("Add", "x", same), net.row())
    return net.model(net.product(net.quantise(net.norm(total), SCALE, 120)))


def by_root(way: str, *, read: str = "sum") -> ir.Model:
    """As `before_the_sum`, by the root mean square; `read`: what the next layer adds to."""
    net = Stack(5, WIDTH)
    if way.startswith("operator"):
        net.opset = 23
    total = net.add("Add", "x", net.product(net.quantise("x")))
    norm = net.root_norm(total, way)
    product = net.product(net.quantise(norm, SCALE, 120))
    return net.model(net.add("Add", total if read == "sum" else norm, product))


@pytest.mark.parametrize(
    "way",
    [
        "Pow-mean-one",
        "Mul-mean-reciprocal",
        "Pow-pool-divisor",
        "Mul-mean-power",
        "operator--",
    ],
)
def test_root_mean_square_in_any_nodes_becomes_one_node(way: str) -> None:
    model = by_root(way)
    result, counts, _ = lowered(model)
    assert made(result) == {"QAddNorm": 1}
    assert counts["QAddRmsNormSum"] == 1
    assert not counts.keys() & {"Pow", "Sqrt", "ReduceMean", "RMSNormalization"}
    assert_same(model, result, X, SCALE)


@pytest.mark.parametrize(
    ("model", "op"),
    [
        (after_the_sum(), "QAddNorm"),
        (after_the_sum(biased=False), "QAddNorm"),
        (after_the_sum(axis=2, epsilon=1e-3), "QAddNorm"),
        (before_the_sum(), "QAddNormSum"),
        (read_early(), "QAddNormSum"),
        (row_behind_the_sum(), "QAddNorm"),
    ],
)
def test_sum_norm_and_quantiser_become_one_node(model: ir.Model, op: str) -> None:
    result, counts, _ = lowered(model)
    assert made(result) == {"QAddNorm": 1}
    assert counts[op] == 1
    assert "LayerNormalization" not in counts
    assert_same(model, result, X, SCALE)


def test_what_does_not_fit_is_left_and_the_notes_say_why() -> None:
    net = Stack(5, WIDTH)
    net_twice = Stack(5, WIDTH)
    total = net_twice.add("Add", net_twice.product(net_twice.quantise("x")), "x")
    norm = net_twice.norm(total)
    product = net_twice.product(net_twice.quantise(norm, SCALE, 120))
    twice = net_twice.model(net_twice.add("Add", net_twice.add("Add", norm, product), total))
    for model, why in (
        (net.model(net.product(net.quantise(net.norm("x"), SCALE, 120))), "not normalise a sum"),
        (after_the_sum(axis=1), "over several dimensions"),
        (twice, "both the sum and the normalised numbers"),
        (by_root("Pow-mean-one", read="norm"), "its normalised numbers are read elsewhere"),
    ):
        result, _, notes = lowered(model)
        assert not made(result)
        assert any(why in reason for reason in reasons(notes)), reasons(notes)
