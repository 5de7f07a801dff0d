"""Lowering of embedding tables in packed codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from squeeze import graph, ops, quant, runtimes
from squeeze.account.stored import stored
from squeeze.graph.lower import lower, made
from squeeze.quant.tables import quantise_tables
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

IDS = np.random.default_rng(0).integers(-500, 500, (64, 10)).astype(np.float32)
FAMILY = "CodebookGather"
every_width = pytest.mark.parametrize("bits", [4, 3, 2])


def rows_of(bits: int, *further: onnx.NodeProto, to: int = TensorProto.INT64) -> ir.Model:
    """Rows of a table in so many bits."""
    nodes = [
        node("Cast", ["x"], ["ids"], to=to),
        node("Gather", ["table", "ids"], ["rows"]),
        *(further or [node("Neg", ["rows"], ["y"])]),
    ]
    found = model(nodes, {"table": floats(500, 64)}, (10,))
    assert quantise_tables(found.graph, bits=bits)
    return found


def run(found: ir.Model, ids: Array = IDS, *, native: bool = False) -> Array:
    return runtimes.run(runtimes.session(graph.to_bytes(found), native=native), ids)


@pytest.mark.parametrize("to", [TensorProto.INT32, TensorProto.INT64])
@every_width
def test_a_table_in_few_bits_is_one_node_of_equal_numbers(library: str, bits: int, to: int) -> None:
    plain = rows_of(bits, to=to)
    lowered, notes = lower(plain)
    assert [n.op_type for n in lowered.graph] == ["Cast", f"CodebookGather{bits}", "Neg"]
    assert made(lowered) == {FAMILY: 1}
    assert [note.name for note in notes if note.kept] == [f"lower CodebookGather{bits}"]
    proto = ir.to_proto(lowered)
    onnx.checker.check_model(proto)
    assert stored(proto).params == 500 * 64  # codes are as many as the numbers that they stand for
    for native in (True, False):
        np.testing.assert_array_equal(run(lowered, native=native), run(plain))


@every_width
def test_without_the_family_the_operators_stay(bits: int) -> None:
    plain = rows_of(bits)
    lowered, _ = lower(plain, without=[FAMILY])
    assert [n.op_type for n in lowered.graph] == [n.op_type for n in plain.graph]
    assert not made(lowered)


def test_a_table_that_is_looked_up_twice_is_in_the_lowered_file_once(library: str) -> None:
    plain = rows_of(
        4, node("Gather", ["table", "ids"], ["more"]), node("Add", ["rows", "more"], ["y"])
    )
    lowered, _ = lower(plain)
    assert made(lowered) == {FAMILY: 2}
    assert len(graph.to_bytes(lowered)) < 500 * 64 / 2 + 500 * 4 + 4000
    np.testing.assert_array_equal(run(lowered, native=True), run(plain))


def test_rows_of_ids_of_one_dimension_are_lowered(library: str) -> None:
    nodes = [
        node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
        node("Gather", ["table", "ids"], ["rows"]),
        node("Neg", ["rows"], ["y"]),
    ]
    plain = model(nodes, {"table": floats(500, 64)}, ())
    assert quantise_tables(plain.graph, bits=4)
    lowered, _ = lower(plain)
    assert made(lowered) == {FAMILY: 1}
    ids = IDS[:, 0]
    np.testing.assert_array_equal(run(lowered, ids, native=True), run(plain, ids))


def test_rows_that_are_an_output_keep_its_name(library: str) -> None:
    plain = rows_of(4, node("Identity", ["rows"], ["y"]))
    lowered, _ = lower(plain)
    assert [v.name for v in lowered.graph.outputs] == ["y"]
    np.testing.assert_array_equal(run(lowered, native=True), run(plain))


def other_levels(found: ir.Model, name: str) -> None:
    """Another number at the first place of the constant whose name has `name`."""
    value = next(v for k, v in found.graph.initializers.items() if name in k)
    array = np.array(value.const_value.numpy()) if value.const_value is not None else None
    assert array is not None
    array.reshape(-1)[0] += 1
    value.const_value = ir.tensor(array, name=value.name)


def test_another_order_of_bits_is_no_such_table() -> None:
    """What is taken out of a byte is part of what the op computes."""
    found = rows_of(4)
    part = next(
        v.name
        for v in found.graph.initializers.values()
        if v.shape is not None and list(v.shape) == [256]
    )
    other_levels(found, str(part))
    assert not made(lower(found)[0])


def test_scales_of_other_ids_are_no_such_table() -> None:
    found = rows_of(4)
    (scales,) = (
        n
        for n in found.graph
        if n.outputs[0].name and n.inputs[0] is not None and "scales" in str(n.inputs[0].name)
    )
    other = ir.Node("", "Neg", [scales.inputs[1]])
    found.graph.insert_before(scales, other)
    scales.replace_input_with(1, other.outputs[0])
    assert not made(lower(found)[0])


def test_the_table_of_a_quantised_network_is_lowered(library: str, tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
        node("Gather", ["table", "ids"], ["rows"]),
        node("Flatten", ["rows"], ["flat"]),
        node("MatMul", ["flat", "w1"], ["h1"]),
        node("Relu", ["h1"], ["a1"]),
        node("MatMul", ["a1", "w2"], ["h2"]),
        node("Relu", ["h2"], ["a2"]),
        node("MatMul", ["a2", "w3"], ["y"]),
    ]
    weights = {"w1": floats(640, 16), "w2": floats(16, 2048), "w3": floats(2048, 4)}
    found = model(nodes, {"table": floats(500, 64), **weights}, (10,))
    part = QuantPart(samples=64)
    ids = np.abs(IDS) % 500
    # Smaller weights, so that no kernel of the runtime saturates.
    plain = quant.quantize(
        found, passes_of(found, ids), activations="uint8", part=part, bits=4, reduce_range=True
    ).model
    path = tmp_path / "plain.onnx"
    graph.compact(plain)
    graph.save(plain, path)
    lowered, _ = lower(graph.load(path))
    assert made(lowered)[FAMILY] == 1
    graph.compact(lowered)
    graph.save(lowered, tmp_path / "lowered.onnx")
    session = runtimes.session(tmp_path / "lowered.onnx", native=True)
    wanted = runtimes.run(runtimes.session(path), ids)
    assert np.abs(runtimes.run(session, ids) - wanted).max() < 0.02 * wanted.std()
    assert ops.GATHERS[4] in {n.op_type for n in lowered.graph}
