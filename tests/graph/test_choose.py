"""Which kinds of ops are kept: those without which a file is not faster. Time here is a sum over nodes: exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from squeeze.graph import fastest, lower, undone
from squeeze.graph.agreement import objector
from squeeze.graph.choose import FAILED, sound
from tests.graph.qdq import Net
from tests.graph.small import model

DEAR = {"Conv": 10.0, "Gemm": 10.0}


def agreed(_: Path) -> None:
    """Nothing speaks against a file."""


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
    found = fastest(
        network(), plain, tmp_path, lambda a, b: seconds(a, slow) / seconds(b, slow), agreed
    )
    assert found is not None
    chosen, ratio = found
    assert set(chosen.made) == {"QConv", "grouped QConv", "QGemm", "pools"} - left_out
    assert ratio < 1
    told = [n for n in chosen.notes if n.why.startswith("undone")]
    assert {n.name.removeprefix("lower ") for n in told} <= left_out
    assert all(n.numbers["ratio"] < 1 for n in told)


def test_what_did_not_pay_is_not_tried_again_where_that_is_told(tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    ir.save(network(), plain)
    timed: list[str] = []

    def ratio(a: Path, b: Path) -> float:
        timed.append(a.name)
        return seconds(a, {"QGemm": 50.0}) / seconds(b, {"QGemm": 50.0})

    first = fastest(network(), plain, tmp_path, ratio, agreed)
    assert first is not None
    timed_before = len(timed)
    known = undone([note.to_json() for note in first[0].notes])
    assert known == ("QGemm",)
    again = fastest(network(), plain, tmp_path, ratio, agreed, paying=first[0].made, without=known)
    assert again is not None
    assert again[0].made == first[0].made
    assert len(timed) == timed_before + 1  # against the plain file


def test_nothing_to_lower_is_none(tmp_path: Path) -> None:
    net = Net(4)
    model = net.model(net.add("Sin", net.quantise("x")))
    ir.save(model, tmp_path / "plain.onnx")
    assert fastest(model, tmp_path / "plain.onnx", tmp_path, lambda a, b: 1.0, agreed) is None


def objecting(*op_types: str) -> Callable[[Path], str | None]:
    """Objects to files with a node of our domain of one of these types."""

    def objection(path: Path) -> str | None:
        nodes = [n for n in onnx.load(path).graph.node if n.domain]
        return "it is wrong" if any(n.op_type in op_types for n in nodes) else None

    return objection


def test_a_lowering_that_is_objected_to_is_made_without_what_is_at_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = tmp_path / "plain.onnx"
    ir.save(network(), plain)
    found = sound(network(), plain, tmp_path, objecting("QGemm"))
    assert found is not None
    assert set(found.made) == {"QConv", "grouped QConv", "pools"}
    assert [n.why for n in found.notes if n.name == FAILED] == [
        "it is wrong; it holds without QGemm"
    ]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "Please report this" in caplog.text


def test_a_lowering_that_fails_altogether_leaves_the_plain_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    ir.save(network(), plain)
    wrong = objecting("QConv", "QGemm", "QGlobalAveragePool")
    found = fastest(network(), plain, tmp_path, lambda a, b: 0.5, wrong)
    assert found is not None
    chosen, ratio = found
    assert (chosen.path, chosen.made, ratio) == (plain, {}, 1.0)
    assert [n.why for n in chosen.notes] == ["it is wrong; the plain Q/DQ file is used"]


def test_a_lowering_that_raises_is_an_objection(tmp_path: Path) -> None:
    model = network()
    for node in model.graph:
        if node.op_type == "Gemm":  # what no graph has: it is read as a number
            node.attributes["transB"] = ir.AttrString("transB", "yes")
    found = sound(model, tmp_path / "plain.onnx", tmp_path, agreed)
    assert found is not None
    assert found.made == {}
    assert found.path == tmp_path / "plain.onnx"


def test_outputs_that_move_or_files_that_do_not_open_are_objected_to(tmp_path: Path) -> None:
    model, other = network(), network()
    plain, path = tmp_path / "plain.onnx", tmp_path / "other.onnx"
    ir.save(model, plain)
    x = np.random.default_rng(0).uniform(-2, 8, (2, 8, 8, 8)).astype(np.float32)
    objection = objector(model, plain, [{"x": x}])
    assert objection(plain) is None
    right, _ = lower(model)
    ir.save(right, path)
    assert objection(path) is None

    gemm = next(n for n in other.graph if n.op_type == "Gemm")
    weights = gemm.inputs[1].producer().inputs[0]  # type: ignore[union-attr]  # the test made it
    assert weights is not None
    weights.const_value = ir.tensor(-weights.const_value.numpy())  # type: ignore[union-attr]
    ir.save(lower(other)[0], path)
    why = objection(path)
    assert why is not None
    assert "moves by" in why

    node = next(n for n in right.graph if n.op_type == "QConv")
    node.op_type = "QConvolution"
    ir.save(right, path)
    why = objection(path)
    assert why is not None
    assert "does not open on the stock runtime" in why


def folded(times: int, *, first_scale: float = 2 / 255, slope: float = 2.0) -> ir.Model:
    """1 - slope * |x|, quantised, so many times: each time a small difference gets twice as large."""
    net = Net(64)
    y, one = "x", net.constant(np.float32(1))
    for index in range(times):
        scale = first_scale if index == 0 else 2 / 255
        y = net.add("Abs", net.quantise(y, scale, 128))
        y = net.add("Sub", one, net.add("Mul", y, net.constant(np.float32(slope))))
    return net.model(y)


def test_a_network_that_carries_a_step_far_may_move_as_far_as_other_rounding_moves_it(
    tmp_path: Path,
) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (32, 64)).astype(np.float32)
    plain, path = tmp_path / "plain.onnx", tmp_path / "other.onnx"

    def objection(model: ir.Model, other: ir.Model) -> str | None:
        ir.save(model, plain)
        ir.save(other, path)
        return objector(model, plain, [{"x": x}])(path)

    finer = 2 / 255 * (1 + 2**-10)
    assert objection(folded(14), folded(14, first_scale=finer)) is None
    assert objection(folded(2), folded(2, first_scale=finer)) is None
    why = objection(folded(2), folded(2, slope=1.7))
    assert why is not None
    assert "moves by" in why


def test_a_file_with_scales_of_half_precision_can_be_judged(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("QuantizeLinear", ["h", "scale", "zero"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = {"scale": np.float16(0.1), "zero": np.uint8(128)}
    half = model(nodes, constants, (8,), opset=19)
    plain = tmp_path / "plain.onnx"
    ir.save(half, plain)
    feed = {"x": np.linspace(-3, 3, 8, dtype=np.float32)[None]}
    assert objector(half, plain, [feed])(plain) is None
