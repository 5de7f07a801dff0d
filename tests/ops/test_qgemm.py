"""QGemm* inside ONNX Runtime: against NumPy integers, against their bodies, and with broken nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from squeeze import ops
from squeeze.old_x86.emulation import saturates
from tests.ops.product_model import (
    OPSET,
    Array,
    Product,
    assert_saturates_as_emulated,
    file,
    finish,
    full_range,
    hard_swish_table,
    of_seven_bits,
    session,
)

# QGemm's names for what Product calls as QConv does
NAMES = {"x_scale": "a_scale", "x_zero_point": "a_zero_point", "w": "b", "w_scale": "b_scale"}
NAMES |= {"conv_scale": "gemm_scale", "conv_zero_point": "gemm_zero_point"}


def random_case(
    seed: int,
    shape: tuple[int, ...],
    outputs: int,
    *,
    residual: bool = False,
    lookup: bool = False,
    x_type: type = np.uint8,
    **settings: Any,  # Any: fields of Product
) -> Product:
    """Full-range data whose outputs spread over the range of their type."""
    rng = np.random.default_rng(seed)
    case = Product(
        x=full_range(rng, x_type, shape),
        w=full_range(rng, np.int8, (outputs, shape[-1])),
        bias=rng.integers(-5000, 5000, outputs, dtype=np.int32),
        w_scale=(rng.uniform(0.5, 1.5, outputs) * 0.02 / np.sqrt(shape[-1])).astype(np.float32),
        **settings,
    )
    if lookup:
        return replace(case, table=hard_swish_table(case))
    if not residual:
        return case
    return replace(case, residual=full_range(rng, case.y_type, (*shape[:-1], outputs)))


def expected(case: Product) -> Array:
    # float64 holds every sum of these cases exactly, and has a fast product
    shifted = case.x.astype(np.float64) - case.x_zero_point
    sums = (shifted @ case.w.T.astype(np.float64)).astype(np.int64) + case.bias
    return finish(case, sums, outputs_axis=-1)


def feeds(case: Product) -> dict[str, Array]:
    return {"a": case.x} if case.residual is None else {"a": case.x, "residual": case.residual}


def build(case: Product, *, body: bool = True, opset: int = OPSET, shapes: bool = False) -> bytes:
    values = {NAMES.get(k, k): v for k, v in case.values().items()}
    op_type = f"QGemm{case.tail}"
    names = ops.SIGNATURES[op_type].names
    return file(
        op_type,
        names,
        feeds(case),
        case.y_type,
        values,
        {},
        body=body,
        opset=opset,
        shapes=shapes,
    )


def run(case: Product, *, native: bool, threads: int = 1, optimise: bool = True) -> Array:
    made = session(build(case, body=not native), native=native, threads=threads, optimise=optimise)
    y: Array = made.run(None, feeds(case))[0]
    return y


S8 = {"x_type": np.int8, "y_type": np.int8}
CASES: dict[str, Product] = {
    "one-row": random_case(1, (1, 64), 10),
    "rows": random_case(2, (33, 64), 48),
    "primes": random_case(3, (7, 13), 17),
    "rank-1": random_case(4, (40,), 24),
    "rank-3": random_case(5, (2, 9, 32), 20),
    "rank-8": random_case(6, (1, 2, 1, 2, 1, 2, 1, 24), 16),
    "residual": random_case(7, (12, 32), 32, residual=True),
    "residual-rank-3": random_case(8, (2, 5, 31), 33, residual=True, y_zero_point=128),
    "lookup": random_case(9, (12, 32), 32, lookup=True),
    "s8": random_case(10, (12, 32), 40, **S8),
    "s8-residual": random_case(11, (3, 4, 32), 16, residual=True, y_zero_point=-100, **S8),
    "s8-lookup": random_case(12, (12, 33), 31, lookup=True, conv_zero_point=-5, **S8),
    "u8-to-s8": random_case(13, (5, 16), 16, y_type=np.int8),
    "s8-to-u8": random_case(14, (5, 16), 16, x_type=np.int8, lookup=True),
    "many-rows": random_case(15, (2000, 64), 64),
    "slices-one-row": random_case(16, (1, 1024), 3100),
    "slices": random_case(17, (100, 1030), 2100),
    "slices-residual": random_case(18, (20, 1024), 2111, residual=True, **S8),
    "slices-lookup": random_case(19, (3, 1024), 2111, lookup=True),
}
every_case = pytest.mark.parametrize("name", CASES)
# The emulation has a few nodes for every pair of weights that can saturate.
SMALL = [name for name, case in CASES.items() if case.w.size < 10_000]


@every_case
def test_native_equals_numpy_integers(library: str, name: str) -> None:
    y, wanted = run(CASES[name], native=True), expected(CASES[name])
    low, high = np.iinfo(wanted.dtype).min, np.iinfo(wanted.dtype).max
    assert np.mean((wanted > low) & (wanted < high)) > 0.2  # saturated outputs prove nothing
    np.testing.assert_array_equal(y, wanted)


@every_case
def test_portable_equals_numpy_integers_when_lowered_by_the_environment(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", "portable")
    np.testing.assert_array_equal(run(CASES[name], native=True), expected(CASES[name]))


@every_case
def test_two_threads_give_the_bytes_of_one(library: str, name: str) -> None:
    one = run(CASES[name], native=True, threads=1)
    np.testing.assert_array_equal(run(CASES[name], native=True, threads=2), one)


def within_one_step(y: Array, case: Product) -> bool:
    """A step of the product may be several steps of y behind a table."""
    steps = 1 if case.table is None else np.abs(np.diff(case.table.astype(int))).max()
    off = np.abs(y.astype(int) - expected(case))
    return bool(y.shape == off.shape and off.max() <= steps and np.mean(off > 0) < 0.01)


@every_case
@pytest.mark.parametrize("optimise", [True, False], ids=["optimised", "plain"])
def test_body_is_within_one_step_of_the_contract(name: str, optimise: bool) -> None:
    case = of_seven_bits(CASES[name]) if optimise else CASES[name]
    assert within_one_step(run(case, native=False, optimise=optimise), case)


@pytest.mark.parametrize("name", SMALL)
def test_full_range_body_keeps_the_contract_or_saturates_as_emulated(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    if saturates():
        assert_saturates_as_emulated(build(case), feeds(case), tmp_path)
    else:
        assert within_one_step(run(case, native=False), case)


@every_case
def test_body_runs_in_the_reference_evaluator(name: str) -> None:
    case = CASES[name]
    model = onnx.load_from_string(build(case, opset=19))  # it has DequantizeLinear from 19 on
    assert within_one_step(ReferenceEvaluator(model).run(None, feeds(case))[0], case)


@every_case
@pytest.mark.parametrize("opset", [13, 20])
def test_body_loads_at_both_ends_of_the_opsets(name: str, opset: int) -> None:
    session(build(CASES[name], opset=opset), native=False)


@pytest.mark.parametrize(
    ("name", "fused"),
    [
        ("rows", {}),
        ("rank-1", {}),
        ("rank-3", {}),
        ("s8", {}),
        ("residual", {"QLinearAdd": 1}),
        ("s8-residual", {"QLinearAdd": 1}),
        ("lookup", {"DequantizeLinear": 2, "HardSigmoid": 1, "Mul": 1, "QuantizeLinear": 1}),
    ],
)
@pytest.mark.parametrize("shapes", [True, False], ids=["shapes", "any-shape"])
def test_stock_runtime_fuses_the_body(
    name: str, fused: dict[str, int], shapes: bool, tmp_path: Path
) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    model = build(CASES[name], shapes=shapes)
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    counts = Counter(node.op_type for node in graph.node)
    around = {"Flatten": 1, "Reshape": 1}  # no copies
    if not shapes and CASES[name].x.ndim != 2:
        around |= {"Shape": 1, "Slice": 1, "Concat": 1}
    assert counts == {"QGemm": 1, **around, **fused}


def test_no_rows_give_an_empty_result(library: str) -> None:
    case = replace(CASES["rank-3"], x=CASES["rank-3"].x[:0])
    assert run(case, native=True).shape == (0, 9, 20)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {  # Any: broken inputs
    "b-rank": ({"w": np.zeros((48, 64, 1), np.int8)}, "input b has rank 3, expected 2"),
    "b-empty": ({"w": np.zeros((48, 0), np.int8)}, r"input b is \[48, 0\], expected sizes from 1"),
    "bias-short": ({"bias": np.zeros(47, np.int32)}, "input bias has 47 values, expected one for"),
    "b-scale-short": ({"w_scale": np.ones(2, np.float32)}, "input b_scale has 2 values"),
    "b-scale-infinite": (
        {"w_scale": np.full(48, np.inf, np.float32)},
        r"a_scale \* b_scale\[0\] / y_scale is inf, expected a number from 0 on",
    ),
    "scale-zero": ({"x_scale": np.float32(0)}, "a_scale must be positive and finite, got 0"),
    "zero-point-many": ({"y_zero_point": np.zeros(2, np.uint8)}, "y_zero_point has 2 values"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    overrides, message = BROKEN[name]
    case = replace(CASES["rows"], overrides=overrides)
    with pytest.raises(Exception, match=f"QGemm 'the node': .*{message}"):
        session(build(case, body=False), native=True)


def test_broken_table_is_refused(library: str) -> None:
    case = replace(CASES["lookup"], overrides={"table": np.zeros(16, np.uint8)})
    message = r"QGemmLookup 'the node': input table has the shape \[16\], expected \[256\]"
    with pytest.raises(Exception, match=message):
        session(build(case, body=False), native=True)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("rows", {"x_zero_point": np.int8(0)}),
        ("residual", {"conv_zero_point": np.int8(0)}),
        ("residual", {"y_zero_point": np.int8(0)}),
        ("lookup", {"table": np.zeros(256, np.int8)}),
    ],
    ids=["a", "gemm", "y", "table"],
)
def test_mixed_types_are_refused(library: str, name: str, overrides: dict[str, Any]) -> None:
    case = replace(CASES[name], overrides=overrides)
    with pytest.raises(Exception, match="the node"):
        session(build(case, body=False), native=True)


def test_wrong_inputs_are_refused_and_the_session_lives_on(library: str) -> None:
    case = CASES["residual"]
    made = session(build(case, body=False), native=True)
    with pytest.raises(Exception, match=r"input a is \[12, 31\], the weights expect 32 values"):
        made.run(None, {**feeds(case), "a": case.x[:, :-1]})
    with pytest.raises(Exception, match=r"input residual is \[11, 32\], y is \[12, 32\]"):
        made.run(None, {**feeds(case), "residual": np.zeros((11, 32), np.uint8)})
    np.testing.assert_array_equal(made.run(None, feeds(case))[0], expected(case))
