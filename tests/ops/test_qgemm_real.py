"""QGemmReal and QCodebookGemmReal: the integer product in float32, against NumPy integers and against their bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from squeeze.ops import packing
from tests.ops.node_model import Array, Node, build, fused, run_body, run_native, session
from tests.ops.product_model import full_range

f32 = np.float32


def plain(
    seed: int, shape: tuple[int, ...], outputs: int, x_type: type = np.uint8, most: int = 127
) -> Node:
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {
        "a": full_range(rng, x_type, shape),
        "a_scale": np.array(0.017, f32),
        "a_zero_point": np.array(3, x_type),
        "b": rng.integers(-most, most + 1, (outputs, shape[-1])).astype(np.int8),
        "b_scale": rng.uniform(0.001, 0.01, outputs).astype(f32),
        "bias": rng.integers(-5000, 5000, outputs).astype(np.int32),
    }
    return Node("QGemmReal", inputs, ("a",), {}, TensorProto.FLOAT)


def coded(node: Node, bits: int) -> Node:
    """The same with random levels, one book for each output."""
    rng = np.random.default_rng(bits)
    given = dict(node.inputs)
    shape = given.pop("b").shape
    indices = rng.integers(0, 1 << bits, shape).astype(np.uint8)
    inputs = {name: given[name] for name in ("a", "a_scale", "a_zero_point")}
    inputs["indices"] = packing.pack(indices, bits)
    inputs["codebooks"] = rng.integers(-64, 65, (shape[0], 1 << bits)).astype(np.int8)
    inputs |= {"w_scale": given["b_scale"], "bias": given["bias"]}
    attributes = {"w_shape": shape, "bits": bits, "bucket": shape[1]}
    return Node("QCodebookGemmReal", inputs, ("a",), attributes, TensorProto.FLOAT)


def weights(node: Node) -> tuple[NDArray[np.int64], Array]:
    inputs: Mapping[str, Array] = node.inputs
    if "b" in inputs:
        return inputs["b"].astype(np.int64), inputs["b_scale"]
    shape, bits = node.attributes["w_shape"], node.attributes["bits"]
    indices = packing.unpack(inputs["indices"], bits, shape[0] * shape[1]).reshape(shape)
    return np.take_along_axis(inputs["codebooks"].astype(np.int64), indices, 1), inputs["w_scale"]


def expected(node: Node) -> Array:
    """float32(integer sum) times the float32 product of the scales: two rounded operations."""
    w, scale = weights(node)
    a = node.inputs["a"].astype(np.int64) - int(node.inputs["a_zero_point"])
    # float64 holds these sums exactly, and has a fast product
    sums = (a.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int64) + node.inputs["bias"]
    made: Array = sums.astype(np.int32).astype(f32) * (node.inputs["a_scale"] * scale)
    return made


ROWS = plain(1, (33, 64), 48)
CASES = {
    "one-row": plain(2, (1, 64), 10),
    "rows": ROWS,
    "primes": plain(3, (7, 13), 17),
    "rank-1": plain(4, (40,), 24),
    "rank-3": plain(5, (2, 9, 32), 20),
    "s8": plain(6, (12, 32), 40, np.int8),
    "many-rows": plain(7, (1000, 64), 64),
    "slices-one-row": plain(8, (1, 1024), 3100),
    "slices": plain(9, (37, 1030), 2100),
    "4-bits": coded(plain(10, (50, 100), 70), 4),
    "4-bits-one-row": coded(plain(11, (1, 384), 200), 4),
    "3-bits-few-rows": coded(plain(12, (3, 50), 21), 3),
    "2-bits": coded(plain(13, (2, 9, 32), 20, np.int8), 2),
    "4-bits-slices": coded(plain(14, (3, 1030), 2100), 4),
}
every_case = pytest.mark.parametrize("name", CASES)


@every_case
@pytest.mark.parametrize("isa", ["", "x86_avx2", "portable"])
def test_native_equals_numpy_bit_for_bit(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    y, wanted = run_native(CASES[name]), expected(CASES[name])
    assert y.dtype == f32
    np.testing.assert_array_equal(y, wanted)


@every_case
def test_two_threads_give_the_bits_of_one(library: str, name: str) -> None:
    np.testing.assert_array_equal(run_native(CASES[name], threads=2), run_native(CASES[name]))


@pytest.mark.parametrize("name", ["rows", "rank-3", "s8", "4-bits", "2-bits"])
def test_body_gives_the_same_numbers(name: str) -> None:
    case = CASES[name]
    if "b" in case.inputs:  # no two products leave 16 bits, so that every CPU is exact
        case = case.having(b=case.inputs["b"] // 2)
    np.testing.assert_allclose(run_body(case), expected(case), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [ROWS, CASES["rank-1"]], ids=["rows", "rank-1"])
def test_stock_runtime_multiplies_integers_in_the_body(case: Node, tmp_path: Path) -> None:
    counts = fused(case, tmp_path)
    assert counts["QGemm"] == 1
    assert not counts.keys() & {"Gemm", "MatMul", "DequantizeLinear"}


def test_no_rows_give_an_empty_result(library: str) -> None:
    case = CASES["rank-3"]
    assert run_native(case.having(a=case.inputs["a"][:0])).shape == (0, 9, 20)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"b": np.zeros((48, 64, 1), np.int8)}, "input b has rank 3, expected 2"),
        ({"bias": np.zeros(47, np.int32)}, "input bias has 47 values, expected one for"),
        (
            {"b_scale": np.full(48, np.inf, f32)},
            r"a_scale \* b_scale\[0\] is inf, expected a number from 0 on",
        ),
        ({"a_scale": np.array(0, f32)}, "a_scale must be positive and finite, got 0"),
    ],
    ids=["rank", "bias", "infinite", "scale"],
)
def test_broken_node_is_refused_with_its_name_and_reason(
    library: str, broken: dict[str, Array], message: str
) -> None:
    with pytest.raises(Exception, match=f"QGemmReal 'the node': .*{message}"):
        session(build(replace(ROWS).having(**broken), body=False), native=True)
