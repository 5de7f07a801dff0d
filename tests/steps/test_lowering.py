"""Our ops in a quantised file, as a step puts them in: what is said, and that a fault of the lowering costs nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph, ops
from squeeze.interface import Interface, TensorSpec
from squeeze.note import Note
from squeeze.steps.lowering import put_ops
from tests.graph.qdq import Net
from tests.steps.conftest import a_device

INTERFACE = Interface(
    (TensorSpec("x", "float32", (8, 8, 8), batch_axis=0),), (TensorSpec("y", "float32", (8, 8, 8)),)
)
SAMPLE = {"x": np.random.default_rng(0).uniform(-2, 8, (1, 8, 8, 8)).astype(np.float32)}


def network() -> ir.Model:
    net = Net(8, 8, 8)
    y = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.05, 120)
    return net.model(net.quantise(net.add("Mul", y, net.add("Sigmoid", y)), 0.05, 10))


def test_the_note_has_the_speed_with_our_library_and_without(tmp_path: Path) -> None:
    if ops.library_path() is None:
        pytest.skip("libsqueeze_ops.so is not built")
    plain = tmp_path / "plain.onnx"
    graph.save(network(), plain)
    before = plain.read_bytes()
    notes: list[Note] = []
    count = put_ops(a_device(tmp_path), network(), plain, SAMPLE, INTERFACE, notes)
    said = notes[-1]
    assert said.name == "fused ops"
    assert set(said.numbers) == {"ratio", "stock_ratio"}
    assert "where the library is absent" in said.why
    # Which of the two is the faster one is the machine's affair; the library's speed alone decides.
    assert said.kept == (said.numbers["ratio"] < 0.95) == (count > 0)
    assert (plain.read_bytes() == before) == (not said.kept)
    assert {p.name for p in tmp_path.glob("*.onnx")} == {"plain.onnx"}


def test_a_fault_in_the_lowering_leaves_the_plain_file_and_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if ops.library_path() is None:
        pytest.skip("libsqueeze_ops.so is not built")
    plain = tmp_path / "plain.onnx"
    graph.save(network(), plain)
    before = plain.read_bytes()
    model = network()
    for node in model.graph:
        if node.op_type == "Conv":  # what no graph has: it is read as a number
            node.attributes["group"] = ir.AttrString("group", "one")
    notes: list[Note] = []
    assert put_ops(a_device(tmp_path), model, plain, SAMPLE, INTERFACE, notes) == 0
    assert plain.read_bytes() == before
    assert [n.name for n in notes] == ["lowering failed"]
    assert "the plain Q/DQ file is used" in notes[0].why
    assert "Please report this" in caplog.text
