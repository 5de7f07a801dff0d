"""Which kinds of ops are kept: those without which a file is not faster. Time here is a sum over nodes: exact."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from squeeze.graph import fastest
from tests.graph.qdq import Net

DEAR = {"Conv": 10.0, "Gemm": 10.0}


def network() -> ir.Model:
    net = Net(8, 8, 8)
    y = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 8, 8, group=8)), 0.05)
    y = net.quantise(net.add("Relu", net.conv(y, 8, 8)), 0.05)
    y = net.add("Flatten", net.quantise(net.add("GlobalAveragePool", y), 0.05))
    y = net.add("Gemm", y, net.weights(net.integers(10, 8)), transB=1)
    return net.model(net.quantise(y, 0.05, 100))


def seconds(path: Path, slow: dict[str, float]) -> float:
    costs = {**DEAR, **slow}
    return sum(
        costs.get(
            "grouped" if any(a.name == "group" and a.i > 1 for a in n.attribute) else n.op_type, 1.0
        )
        if n.domain
        else costs.get(n.op_type, 1.0)
        for n in onnx.load(path).graph.node
    )


@pytest.mark.parametrize(
    ("slow", "left_out"),
    [
        ({}, set()),
        ({"QGemm": 50.0}, {"QGemm"}),
        ({"grouped": 50.0}, {"grouped QConv"}),
        ({"QGemm": 50.0, "QGlobalAveragePool": 50.0}, {"QGemm", "pools"}),
        # A pool alone behind a convolution of the runtime would not be made.
        ({"QConv": 50.0}, {"QConv", "pools"}),
    ],
    ids=["all", "gemm", "grouped", "two", "dense"],
)
def test_kinds_that_do_not_pay_are_left_out(
    slow: dict[str, float], left_out: set[str], tmp_path: Path
) -> None:
    plain = tmp_path / "plain.onnx"
    ir.save(network(), plain)
    chosen = fastest(network(), plain, tmp_path, lambda a, b: seconds(a, slow) / seconds(b, slow))
    assert chosen is not None
    assert set(chosen.made) == {"QConv", "grouped QConv", "QGemm", "pools"} - left_out
    assert chosen.ratio < 1
    undone = [n for n in chosen.notes if n.why.startswith("undone")]
    assert {n.name.removeprefix("lower ") for n in undone} <= left_out
    assert all(n.numbers["ratio"] < 1 for n in undone)


def test_nothing_to_lower_is_none(tmp_path: Path) -> None:
    net = Net(4)
    model = net.model(net.add("Sin", net.quantise("x")))
    ir.save(model, tmp_path / "plain.onnx")
    assert fastest(model, tmp_path / "plain.onnx", tmp_path, lambda a, b: 1.0) is None
