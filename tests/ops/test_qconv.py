"""QConv* inside ONNX Runtime: against NumPy integers, against their bodies, and with broken nodes."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from squeeze.old_x86.emulation import saturates
from tests.ops.product_model import Array, assert_saturates_as_emulated, of_seven_bits
from tests.ops.qconv_model import Case, build, expected, random_case, run, session

SAME = (1, 1, 1, 1)
CASES: dict[str, Case] = {
    "3x3": random_case(1, (2, 16, 9, 11), 32, pads=SAME),
    "3x3-stride-2": random_case(2, (1, 17, 12, 12), 33, pads=SAME, strides=(2, 2)),
    "3x3-residual": random_case(3, (2, 16, 8, 8), 16, pads=SAME, residual=True),
    "residual-zero-points": random_case(
        4, (1, 8, 7, 5), 20, pads=SAME, residual=True, y_zero_point=131, x_zero_point=0
    ),
    "1x1": random_case(5, (3, 24, 6, 6), 40, (1, 1), y_zero_point=100),
    "1x1-residual": random_case(6, (1, 96, 6, 6), 24, (1, 1), residual=True),
    "stem-channels-first": random_case(7, (1, 3, 32, 32), 16, pads=SAME, nhwc=False),
    "residual-channels-first": random_case(
        8, (2, 5, 6, 6), 7, pads=SAME, residual=True, nhwc=False
    ),
    "depthwise": random_case(9, (1, 40, 10, 10), 40, group=40, pads=SAME),
    "depthwise-stride-2": random_case(
        10, (2, 64, 13, 13), 64, group=64, pads=(0, 0, 1, 1), strides=(2, 2)
    ),
    "depthwise-5x5": random_case(11, (1, 8, 9, 9), 8, (5, 5), group=8, pads=(2, 2, 2, 2)),
    "grouped": random_case(12, (1, 12, 7, 7), 8, group=4, pads=SAME),
    "dilated": random_case(13, (1, 9, 14, 12), 16, pads=(2, 2, 2, 2), dilations=(2, 2)),
    "spectrogram": random_case(14, (1, 1, 49, 10), 64, (10, 4), pads=(4, 1, 5, 2), strides=(2, 2)),
    "one-pixel": random_case(15, (1, 64, 1, 1), 10, (1, 1)),
    "large": random_case(16, (1, 64, 40, 40), 64, pads=SAME),
    "s8": random_case(17, (2, 16, 9, 11), 32, pads=SAME, x_type=np.int8, y_type=np.int8),
    "s8-residual": random_case(
        18, (2, 16, 8, 8), 20, pads=SAME, residual=True, x_type=np.int8, y_type=np.int8
    ),
    "s8-stem-channels-first": random_case(
        19, (2, 3, 32, 32), 16, pads=SAME, nhwc=False, x_type=np.int8, y_type=np.int8
    ),
    "s8-residual-channels-first": random_case(
        20,
        (2, 5, 6, 6),
        7,
        pads=SAME,
        residual=True,
        nhwc=False,
        x_type=np.int8,
        y_type=np.int8,
        y_zero_point=-90,
        x_zero_point=-128,
    ),
    "u8-to-s8": random_case(21, (1, 16, 9, 9), 24, pads=SAME, y_type=np.int8),
    "s8-to-u8-residual": random_case(
        22, (1, 16, 9, 9), 16, pads=SAME, residual=True, x_type=np.int8
    ),
    "lookup": random_case(23, (2, 16, 9, 9), 32, pads=SAME, lookup=True),
    "s8-lookup": random_case(
        24,
        (2, 24, 7, 5),
        20,
        (1, 1),
        lookup=True,
        x_type=np.int8,
        y_type=np.int8,
        conv_zero_point=4,
    ),
    "lookup-channels-first": random_case(25, (1, 16, 9, 9), 9, lookup=True, nhwc=False),
    "s8-one-channel-channels-first": random_case(
        31, (2, 1, 20, 10), 16, (10, 4), x_type=np.int8, nhwc=False
    ),
    "one-output-channels-first": random_case(32, (1, 8, 9, 9), 1, y_type=np.int8, nhwc=False),
    "1d": random_case(26, (2, 16, 50), 24, (5,), pads=(2, 2)),
    "1d-stride-dilation": random_case(
        27, (1, 12, 64), 16, (3,), pads=(2, 0), strides=(2,), dilations=(2,)
    ),
    "1d-residual-channels-first": random_case(
        28, (2, 8, 30), 8, (3,), pads=(1, 1), residual=True, nhwc=False
    ),
    "1d-depthwise-s8": random_case(
        29, (2, 40, 33), 40, (3,), group=40, pads=(1, 1), x_type=np.int8, y_type=np.int8
    ),
    "1d-lookup": random_case(30, (1, 32, 40), 32, (1,), lookup=True),
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


def within_one_step(y: Array, case: Case) -> bool:
    """Before the table, where `case` has one: a step of its argument may be several of y."""
    if case.table is not None:
        steps = np.abs(np.diff(case.table.astype(int))).max()
        off = np.abs(y.astype(int) - expected(case))
        return bool(off.max() <= steps and np.mean(off > 0) < 0.01)
    off = np.abs(y.astype(int) - expected(case))
    return bool(off.max() <= 1 and np.mean(off > 0) < 0.01)


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
        assert_saturates_as_emulated(build(case), case.feeds(), tmp_path)
    else:
        assert within_one_step(run(case, native=False), case)


@every_case
def test_body_runs_in_the_reference_evaluator(name: str) -> None:
    case = CASES[name]
    if case.x.size > 50_000:
        pytest.skip("the reference evaluator is slow; other cases cover this op")
    model = onnx.load_from_string(build(case, opset=19))  # it has DequantizeLinear from 19 on
    y = ReferenceEvaluator(model).run(None, case.feeds())[0]
    assert within_one_step(y.transpose(case.from_last) if case.nhwc else y, case)


@every_case
@pytest.mark.parametrize("opset", [13, 20])
def test_body_loads_at_both_ends_of_the_opsets(name: str, opset: int) -> None:
    session(build(CASES[name], opset=opset), native=False)


@every_case
def test_two_threads_give_the_bytes_of_one(library: str, name: str) -> None:
    case = replace(CASES[name], x=np.repeat(CASES[name].x, 3, axis=0))
    if case.residual is not None:
        case = replace(case, residual=np.repeat(case.residual, 3, axis=0))
    one = run(case, native=True, threads=1)
    np.testing.assert_array_equal(run(case, native=True, threads=2), one)


def test_empty_batch_gives_an_empty_result(library: str) -> None:
    case = replace(CASES["3x3"], x=CASES["3x3"].x[:0])
    assert run(case, native=True).shape == (0, 32, 9, 11)


def test_multiplier_beyond_int32_saturates(library: str) -> None:
    case = replace(CASES["1x1"], w_scale=np.full(40, 1e9, np.float32))
    np.testing.assert_array_equal(run(case, native=True), expected(case))


# As in a plain graph: the runtime dequantises once for each reader.
SWISH = {"DequantizeLinear": 2, "HardSigmoid": 1, "Mul": 1, "QuantizeLinear": 1}


@pytest.mark.parametrize(
    ("name", "fused"),
    [
        ("3x3", {"QLinearConv": 1}),
        ("3x3-residual", {"QLinearConv": 1, "QLinearAdd": 1}),
        ("depthwise", {"QLinearConv": 1}),
        ("s8", {"QLinearConv": 1}),
        ("s8-residual", {"QLinearConv": 1, "QLinearAdd": 1}),
        ("lookup", {"QLinearConv": 1, **SWISH}),
        ("s8-lookup", {"QLinearConv": 1, **SWISH}),
        ("1d", {"QLinearConv": 1}),
        ("1d-lookup", {"QLinearConv": 1, **SWISH}),
    ],
)
def test_stock_runtime_fuses_the_body(name: str, fused: dict[str, int], tmp_path: Path) -> None:
    if name.startswith("s8") and platform.machine() != "aarch64":
        pytest.skip("the stock runtime fuses s8 convolutions on Arm alone, in a body or outside")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(build(CASES[name]), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    counts = Counter(node.op_type for node in graph.node)
    counts.pop("Transpose", None)
    assert counts == fused


BROKEN: dict[str, tuple[dict[str, Any], str]] = {  # Any: broken attributes and inputs
    "strides-short": ({"strides": [1]}, "attribute strides has 1 values, expected 2"),
    "strides-zero": ({"strides": [0, 1]}, "attribute strides has the value 0, expected 1 to"),
    "pads-missing": ({"pads": None}, "attribute pads is missing"),
    "pads-negative": ({"pads": [0, 0, -1, 0]}, "attribute pads has the value -1"),
    "group-zero": ({"group": 0}, "attribute group is 0"),
    "group-no-divisor": ({"group": 5}, "attribute group is 5, expected a divisor of 32"),
    "perm-other": ({"x_perm": [3, 2, 1, 0]}, r"x_perm must be \[0, 1, 2, 3\] or \[0, 3, 1, 2\]"),
    "w-rank": ({"w": np.zeros((32, 16), np.int8)}, "input w has rank 2, expected 4"),
    "rank-3-strides": (
        {"w": np.zeros((32, 16, 3), np.int8)},
        "attribute strides has 2 values, expected 1",
    ),
    "w-empty": (
        {"w": np.zeros((32, 16, 0, 3), np.int8)},
        r"input w is \[32, 16, 0, 3\], expected sizes",
    ),
    "bias-short": ({"bias": np.zeros(31, np.int32)}, "input bias has 31 values"),
    "w-scale-short": ({"w_scale": np.ones(2, np.float32)}, "input w_scale has 2 values"),
    "scale-zero": ({"x_scale": np.float32(0)}, "x_scale must be positive and finite, got 0"),
    "scale-nan": ({"y_scale": np.float32("nan")}, "y_scale must be positive and finite"),
    "scale-many": ({"y_scale": np.ones(3, np.float32)}, "input y_scale has 3 values, expected 1"),
    "w-scale-infinite": ({"w_scale": np.full(32, np.inf, np.float32)}, "expected a number from 0"),
    "w-scale-negative": ({"w_scale": np.full(32, -1, np.float32)}, "expected a number from 0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    overrides, message = BROKEN[name]
    case = replace(CASES["3x3"], overrides=overrides)
    with pytest.raises(Exception, match=f"QConv 'the node': .*{message}"):
        session(build(case, body=False), native=True)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8), "rank 3|Invalid rank"),
        ((1, 8, 8, 15), "input x has 15 channels, the weights expect 16"),
        ((1, 0, 8, 16), "input x is 0 x 8 pixels"),
    ],
    ids=["rank", "channels", "no-pixels"],
)
def test_wrong_input_is_refused_and_the_session_lives_on(
    library: str, shape: tuple[int, ...], message: str
) -> None:
    made = session(build(CASES["3x3"], body=False), native=True)
    with pytest.raises(Exception, match=message):
        made.run(None, {"x": np.zeros(shape, np.uint8)})
    good = CASES["3x3"].x.transpose(0, 2, 3, 1)
    assert made.run(None, {"x": good})[0].shape == (2, 9, 11, 32)


def test_broken_tails_are_refused(library: str) -> None:
    tables = {
        r"input table has the shape \[255\], expected \[256\]": np.zeros(255, np.uint8),
        r"input table has the shape \[2, 128\], expected \[256\]": np.zeros((2, 128), np.uint8),
    }
    for message, table in tables.items():
        case = replace(CASES["lookup"], overrides={"table": table})
        with pytest.raises(Exception, match=f"QConvLookup 'the node': {message}"):
            session(build(case, body=False), native=True)
    case = replace(CASES["3x3-residual"], overrides={"residual_scale": np.float32(1e9)})
    with pytest.raises(Exception, match=r"conv_scale and residual_scale must be below 2\^20"):
        session(build(case, body=False), native=True)


# An op's variants differ in the types of x, and of everything behind the weights; others are refused by the runtime.
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("3x3", {"x_zero_point": np.int8(0)}),
        ("3x3-residual", {"conv_zero_point": np.int8(0)}),
        ("3x3-residual", {"residual_zero_point": np.int8(0)}),
        ("3x3-residual", {"y_zero_point": np.int8(0)}),
        ("lookup", {"table": np.zeros(256, np.int8)}),
        ("3x3", {"w": np.zeros((32, 16, 3, 3), np.uint8)}),
    ],
    ids=["x", "conv", "residual", "y", "table", "w"],
)
def test_mixed_types_are_refused(library: str, name: str, overrides: dict[str, Any]) -> None:
    case = replace(CASES[name], overrides=overrides)
    with pytest.raises(Exception, match="the node"):
        session(build(case, body=False), native=True)


def test_kernel_larger_than_the_image_is_refused(library: str) -> None:
    case = random_case(1, (1, 4, 8, 8), 4, (3, 3))
    made = session(build(case, body=False), native=True)
    with pytest.raises(Exception, match="input x is 2 x 8 pixels, too few for the kernel"):
        made.run(None, {"x": np.zeros((1, 2, 8, 4), np.uint8)})


def test_residual_of_another_shape_is_refused(library: str) -> None:
    case = CASES["3x3-residual"]
    made = session(build(case, body=False), native=True)
    feeds = {"x": case.x.transpose(0, 2, 3, 1), "residual": np.zeros((2, 8, 7, 16), np.uint8)}
    with pytest.raises(Exception, match=r"residual is \[2, 8, 7, 16\], y is \[2, 8, 8, 16\]"):
        made.run(None, feeds)


def test_unknown_isa_is_refused_at_registration(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", "avx9")
    with pytest.raises(Exception, match="known: portable, x86_avx2, x86_avx512vnni, x86_amx"):
        session(build(CASES["1x1"]), native=True)
