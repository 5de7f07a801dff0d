"""Functions between two 8-bit tensors that no layer takes: as a table of their own, without a layer beside them."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir
import pytest

from squeeze.graph.lower import FAMILIES, lower, made
from tests.graph.qdq import Net, assert_same, images, lowered

SCALE = 0.05
LAYERS = [family for family in FAMILIES if "Lookup" not in family]


def swish(net: Net, x: str) -> str:
    return net.add("Mul", x, net.add("Sigmoid", x))


def behind_a_product_of_tensors(after: str = "silu", *, shared: bool = False) -> ir.Model:
    """x * conv(x) -> a function -> conv; shared: the product is an output of the graph too."""
    net = Net(8, 8, 8)
    x = net.quantise("x")
    total = net.quantise(net.add("Mul", x, net.quantise(net.conv(x, 8, 8))))
    y = swish(net, total) if after == "silu" else net.add(after, total)
    y = net.quantise(y, SCALE, 20)
    if shared:
        y = net.add("Add", net.quantise(net.conv(y, 8, 8), SCALE, 128), total)
    return net.model(net.quantise(y if shared else net.conv(y, 8, 8), SCALE, 128))


@pytest.mark.parametrize("after", ["silu", "HardSwish", "Tanh", "LeakyRelu"])
def test_a_function_behind_what_no_layer_of_ours_makes_is_a_table(after: str) -> None:
    model = behind_a_product_of_tensors(after)
    result, counts, _ = lowered(model)
    assert counts["QLookup"] == 1
    assert not {"Sigmoid", "HardSwish", "Tanh", "LeakyRelu"} & set(counts)
    assert_same(model, result, images(2, 8, 8, 8), SCALE)


def test_who_else_reads_the_tensor_keeps_it() -> None:
    model = behind_a_product_of_tensors(shared=True)
    result, counts, _ = lowered(model)
    assert counts["QLookup"] == 1
    assert_same(model, result, images(2, 8, 8, 8), SCALE)


def test_without_our_layers_functions_are_tables_all_the_same() -> None:
    """Where the runtime's own convolutions are faster, the tables between them still pay."""
    net = Net(8, 8, 8)
    x = net.quantise("x")
    for _ in range(3):
        x = net.quantise(swish(net, net.quantise(net.conv(x, 8, 8), 0.04, 120)), SCALE, 20)
    model = net.model(x)
    assert made(lower(model)[0]) == {"QConv": 3}
    result, _ = lower(model, LAYERS)
    assert made(result) == {"QLookup": 3}
    assert Counter(node.op_type for node in result.graph)["Conv"] == 3
    assert_same(model, result, images(2, 8, 8, 8), SCALE)
    assert "QLookup" not in made(lower(model, ["QLookup"])[0])


def test_tables_end_to_end_are_one() -> None:
    net = Net(8, 8, 8)
    x = net.quantise("x")
    total = net.quantise(net.add("Mul", x, net.quantise(net.conv(x, 8, 8))))
    once = net.quantise(net.add("Tanh", total), 0.01, 128)
    model = net.model(net.quantise(net.add("Elu", once), SCALE, 100))
    result, counts, _ = lowered(model)
    assert counts["QLookup"] == 1
    assert not {"Tanh", "Elu"} & set(counts)
    assert_same(model, result, images(2, 8, 8, 8), SCALE)


def test_what_only_clips_or_moves_integers_is_no_table() -> None:
    net = Net(8, 8, 8)
    x = net.quantise("x")
    total = net.quantise(net.add("Mul", x, net.quantise(net.conv(x, 8, 8))), SCALE, 0)
    relu = net.quantise(net.add("Relu", total), SCALE, 0)
    model = net.model(net.quantise(net.add("MaxPool", relu, kernel_shape=[2, 2]), SCALE, 0))
    assert "QLookup" not in made(lower(model)[0])


def test_the_ninth_function_stays_as_it_is() -> None:
    net = Net(8, 8, 8)
    x = net.quantise("x", SCALE, 40)
    other = net.quantise(net.conv(x, 8, 8), SCALE, 128)
    for k in range(9):
        total = net.quantise(net.add("Add", x, other), SCALE, 128)
        x = net.quantise(net.add("LeakyRelu", total, alpha=0.1 + k / 20), SCALE, 100)
    model = net.model(net.quantise(net.conv(x, 8, 8), SCALE, 128))
    result, counts, notes = lowered(model)
    assert sum(n for op, n in counts.items() if op.startswith("QLookup")) == 8
    assert counts["LeakyRelu"] == 1
    assert any("8 functions at most" in note.why for note in notes)
    assert_same(model, result, images(2, 8, 8, 8), SCALE)
