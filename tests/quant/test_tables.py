"""Embedding tables are int8 with a scale for each row, whoever looks rows up."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from squeeze import graph, quant, runtimes
from squeeze.quant.prepared import store
from squeeze.quant.table_codes import encode
from squeeze.quant.tables import quantise_tables, round_tables
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


@pytest.mark.parametrize(("bits", "least"), [(4, 0.009497), (3, 0.03454), (2, 0.1175)])
def test_few_bits_lose_what_the_best_quantiser_of_normal_numbers_loses(
    bits: int, least: float
) -> None:
    """The least mean squared errors are those of Max (1960), table I, for numbers of deviation 1."""
    table = np.random.default_rng(bits).normal(size=(2000, 256))
    codes = encode(table, bits)
    error = np.mean((codes.table() - table) ** 2)
    # A scale for each row of 256 takes a little more away.
    assert 0.94 * least < error < 1.01 * least


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_rows_of_few_bits_are_unpacked_by_operators_of_onnx(bits: int) -> None:
    table = floats(500, 64) * np.geomspace(1e-3, 1e3, 500, dtype=np.float32)[:, None]
    table[7] = 0
    found = looked_up(table)
    result = looked_up(table)
    (made,) = store(result, (), bits).tables.values()
    assert made.bits == bits
    codes = encode(table.astype(np.float64), bits)
    wanted = codes.levels[codes.indices] * codes.scales[:, None]
    np.testing.assert_allclose(run(result, IDS), wanted[IDS.astype(np.int64)], rtol=1e-6)
    assert not run(result, np.full((1, 10), 7, np.float32)).any()
    small, large = len(graph.to_bytes(result)), len(graph.to_bytes(found))
    assert small < large * bits / 32 + 500 * 4 + 8000


def test_rows_that_do_not_fill_bytes_have_8_bits() -> None:
    (made,) = quantise_tables(looked_up(floats(500, 63)).graph, bits=4).values()
    assert made.bits == 8


def test_a_table_has_the_bits_that_most_weights_have() -> None:
    nodes = [
        node("Flatten", ["rows"], ["flat"]),
        node("MatMul", ["flat", "w1"], ["h1"]),
        node("Relu", ["h1"], ["a1"]),
        node("MatMul", ["a1", "w2"], ["h2"]),
        node("Relu", ["h2"], ["a2"]),
        node("MatMul", ["a2", "w3"], ["y"]),
    ]
    weights = {"w1": floats(640, 16), "w2": floats(16, 2048), "w3": floats(2048, 4)}
    found = model(
        [
            node("Cast", ["x"], ["ids"], to=TensorProto.INT64),
            node("Gather", ["table", "ids"], ["rows"]),
            *nodes,
        ],
        {"table": floats(500, 64), **weights},
        (10,),
    )
    part = QuantPart(samples=64)
    for bits, name in ((8, "int8 table"), (4, "4-bit table"), ({"h2": 4}, "4-bit table")):
        result = quant.quantize(
            found, passes_of(found, IDS), activations="uint8", part=part, bits=bits
        )
        assert name in [note.name for note in result.notes]


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_rounded_tables_have_the_numbers_that_files_of_these_bits_give(bits: int) -> None:
    stored, rounded = looked_up(floats(500, 64)), looked_up(floats(500, 64))
    quantise_tables(stored.graph, bits=bits)
    round_tables(rounded.graph, bits=bits)
    assert [n.op_type for n in rounded.graph] == ["Cast", "Gather", "Identity"]
    np.testing.assert_allclose(run(rounded, IDS), run(stored, IDS), rtol=1e-6, atol=1e-7)
    kept = looked_up(floats(500, 64))
    round_tables(kept.graph, ["rows"], bits)
    np.testing.assert_array_equal(run(kept, IDS), run(looked_up(floats(500, 64)), IDS))
