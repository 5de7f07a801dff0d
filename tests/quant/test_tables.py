"""Embedding tables are int8 with a scale for each row, whoever looks rows up."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from squeeze import graph, quant, runtimes
from squeeze.quant.tables import quantise_tables
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

IDS = np.random.default_rng(0).integers(0, 500, (64, 10)).astype(np.float32)


def run(found: ir.Model, x: Array) -> Array:
    return runtimes.run(runtimes.session(graph.to_bytes(found)), x)


def looked_up(table: Array, *further: onnx.NodeProto) -> ir.Model:
    nodes = [
        node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
        node("Gather", ["table", "ids"], ["rows"]),
        *(further or [node("Identity", ["rows"], ["y"])]),
    ]
    return model(nodes, {"table": table}, (10,))


def int8(found: ir.Model) -> quant.Quantised:
    part = QuantPart(samples=64)
    return quant.quantize(found, passes_of(found, IDS), activations="uint8", part=part)


def test_each_number_is_within_half_a_step_of_its_row() -> None:
    table = floats(500, 64) * np.geomspace(1e-3, 1e3, 500, dtype=np.float32)[:, None]
    table[3, 3] = 1000
    found = looked_up(table)
    result = int8(found)
    steps = np.abs(table).max(axis=1) / 127
    wrong = np.abs(run(result.model, IDS) - run(found, IDS)).max(axis=-1)
    assert (wrong <= 0.501 * steps[IDS.astype(np.int64)]).all()
    assert len(graph.to_bytes(result.model)) < 0.3 * len(graph.to_bytes(found))
    (note,) = [n for n in result.notes if n.name == "int8 table"]
    assert note.kept
    assert note.numbers["error"] < 0.01


def test_a_row_of_zeros_stays_zero() -> None:
    table = floats(500, 64)
    table[7] = 0
    result = int8(looked_up(table)).model
    assert not run(result, np.full((1, 10), 7, np.float32)).any()


def test_a_table_that_is_looked_up_twice_is_in_the_file_once() -> None:
    found = looked_up(
        floats(500, 64),
        node("Gather", ["table", "ids"], ["r2"]),
        node("Add", ["rows", "r2"], ["y"]),
    )
    result = int8(found).model
    assert len(graph.to_bytes(result)) < 0.3 * len(graph.to_bytes(found))
    np.testing.assert_allclose(run(result, IDS), run(found, IDS), atol=0.06)


def test_a_table_that_is_multiplied_too_stays_as_it_is() -> None:
    found = looked_up(
        floats(500, 64),
        node("Transpose", ["table"], ["t"], perm=[1, 0]),
        node("MatMul", ["rows", "t"], ["y"]),
    )
    assert not quantise_tables(found.graph)


def test_a_small_table_stays_as_it_is() -> None:
    assert not quantise_tables(looked_up(floats(500, 32)).graph)


def test_a_table_that_a_branch_looks_up_is_int8_there() -> None:
    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(f"{name}_rows", TensorProto.FLOAT, None)
        return helper.make_graph(list(nodes), name, [], [result])

    found = model(
        [
            node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
            node("ReduceMax", ["x"], ["largest"], keepdims=0),
            node("Less", ["largest", "limit"], ["small"]),
            node(
                "If",
                ["small"],
                ["y"],
                then_branch=branch("then", node("Gather", ["table", "ids"], ["then_rows"])),
                else_branch=branch(
                    "else",
                    node("Gather", ["table", "ids"], ["twice"]),
                    node("Add", ["twice", "twice"], ["else_rows"]),
                ),
            ),
        ],
        {"table": floats(500, 64), "limit": np.float32(250)},
        (10,),
    )
    result = int8(found).model
    assert len(graph.to_bytes(result)) < 0.3 * len(graph.to_bytes(found))
    for x in (IDS[:1] % 200, IDS[:1] % 200 + 290):
        np.testing.assert_allclose(run(result, x), run(found, x), atol=0.06)


def test_a_table_whose_lookup_stays_float_stays_as_it_is() -> None:
    found = looked_up(floats(500, 64))
    part = QuantPart(samples=64, keep_float=("Gather",))
    made = quant.quantize(found, passes_of(found, IDS), activations="uint8", part=part)
    assert [n.op_type for n in made.model.graph] == ["Cast", "Gather", "Identity"]
    assert np.array_equal(run(made.model, IDS), run(found, IDS))
