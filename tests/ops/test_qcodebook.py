"""QCodebook* inside ONNX Runtime: against NumPy integers, against their bodies, and with broken nodes."""

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

from squeeze.old_x86.emulation import saturates
from tests.ops import qconv_model, test_qgemm
from tests.ops.product_model import Array, assert_saturates_as_emulated, session
from tests.ops.qcodebook_model import (
    Coded,
    build,
    channels_first,
    coded,
    coded_in_seven_bits,
    expected,
    feeds,
    overridden,
    run,
)

SAME = (1, 1, 1, 1)
S8: dict[str, Any] = {"x_type": np.int8, "y_type": np.int8}  # Any: values of several types
conv, gemm = qconv_model.random_case, test_qgemm.random_case

CASES: dict[str, Coded] = {
    "3x3": coded(conv(1, (2, 16, 9, 11), 32, pads=SAME)),
    "3x3-2-bits": coded(conv(2, (1, 17, 12, 12), 33, pads=SAME, strides=(2, 2)), 2),
    "3x3-3-bits": coded(conv(3, (1, 5, 8, 7), 48, pads=SAME), 3),
    "3x3-residual": coded(conv(4, (2, 16, 8, 8), 16, pads=SAME, residual=True)),
    "3x3-s8": coded(conv(5, (1, 16, 8, 8), 20, pads=SAME, **S8)),
    "3x3-s8-residual": coded(conv(6, (1, 16, 8, 8), 20, pads=SAME, residual=True, **S8), 3),
    "u8-to-s8": coded(conv(7, (1, 16, 8, 8), 16, pads=SAME, y_type=np.int8)),
    "s8-to-u8": coded(conv(8, (1, 16, 8, 8), 16, pads=SAME, x_type=np.int8, residual=True)),
    "1x1": coded(conv(9, (3, 24, 6, 6), 40, (1, 1), y_zero_point=100)),
    "1x1-one-pixel": coded(conv(10, (1, 130, 1, 1), 10, (1, 1)), 3),
    "stem-channels-first": coded(conv(11, (1, 3, 32, 32), 16, pads=SAME, nhwc=False)),
    "residual-channels-first": coded(
        conv(12, (2, 5, 6, 6), 7, pads=SAME, residual=True, nhwc=False), 2
    ),
    "depthwise": coded(conv(13, (1, 40, 10, 10), 40, group=40, pads=SAME)),
    "grouped": coded(conv(14, (1, 12, 7, 7), 8, group=4, pads=SAME)),
    "dilated": coded(conv(15, (1, 9, 14, 12), 16, pads=(2, 2, 2, 2), dilations=(2, 2))),
    "one-dimension": coded(conv(16, (2, 6, 50), 20, (5,), pads=(2, 1), strides=(2,))),
    "one-book": coded(conv(17, (1, 8, 6, 6), 24, pads=SAME), 3, 10_000),
    "books-across-channels": coded(conv(18, (1, 8, 6, 6), 24, pads=SAME), 4, 100),
    "books-of-few-levels": coded(conv(19, (1, 8, 6, 6), 24, pads=SAME), 3, 50, scale=0.05),
    "large": coded(conv(20, (1, 64, 40, 40), 64, pads=SAME)),
    "gemm": coded(gemm(21, (5, 100), 70)),
    "gemm-one-row": coded(gemm(22, (1, 384), 200)),
    "gemm-rank-1": coded(gemm(23, (40,), 24), 2),
    "gemm-3-bits-across-bytes": coded(gemm(24, (2, 7, 9), 5), 3),
    "gemm-s8": coded(gemm(25, (12, 32), 40, **S8)),
    "gemm-s8-to-u8": coded(gemm(26, (12, 32), 40, x_type=np.int8)),
    "gemm-books-of-32": coded(gemm(27, (3, 96), 40), 4, 32),
    "gemm-slices": coded(gemm(28, (3, 1030), 2100)),
    "gemm-many-rows": coded(gemm(29, (500, 64), 64)),
}
every_case = pytest.mark.parametrize("name", CASES)
# The emulation has a few nodes for every pair of weights that can saturate.
SMALL = [name for name, case in CASES.items() if case.indices.size < 10_000]


@every_case
@pytest.mark.parametrize("isa", ["", "x86_avx2", "portable"])
def test_native_equals_numpy_integers(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    y, wanted = run(CASES[name], native=True), expected(CASES[name])
    low, high = np.iinfo(wanted.dtype).min, np.iinfo(wanted.dtype).max
    assert np.mean((wanted > low) & (wanted < high)) > 0.2  # saturated outputs prove nothing
    np.testing.assert_array_equal(y, wanted)


def assert_within_one_step(y: Array, case: Coded) -> None:
    difference = np.abs(y.astype(int) - expected(case))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.01


@every_case
@pytest.mark.parametrize("optimise", [True, False], ids=["optimised", "plain"])
def test_body_is_within_one_step_of_the_contract(name: str, optimise: bool) -> None:
    case = coded_in_seven_bits(CASES[name]) if optimise else CASES[name]
    assert_within_one_step(run(case, native=False, optimise=optimise), case)


@pytest.mark.parametrize("name", SMALL)
def test_full_range_body_keeps_the_contract_or_saturates_as_emulated(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    if saturates():
        assert_saturates_as_emulated(build(case), feeds(case), tmp_path)
    else:
        assert_within_one_step(run(case, native=False), case)


@every_case
def test_reference_evaluator_runs_the_body(name: str) -> None:
    case = CASES[name]
    model = onnx.load_from_string(build(case, opset=19))  # it knows DequantizeLinear from 19 on
    y = ReferenceEvaluator(model).run(None, feeds(case))[0]
    assert_within_one_step(channels_first(case, y), case)


@every_case
def test_two_threads_give_the_bytes_of_one(library: str, name: str) -> None:
    one = run(CASES[name], native=True, threads=1)
    np.testing.assert_array_equal(run(CASES[name], native=True, threads=2), one)


@pytest.mark.parametrize("opset", [13, 18, 20])
@pytest.mark.parametrize(
    ("name", "fused"),
    [
        ("3x3", {"QLinearConv": 1}),
        ("3x3-residual", {"QLinearConv": 1, "QLinearAdd": 1}),
        ("gemm", {"QGemm": 1}),
    ],
)
def test_stock_runtime_decodes_and_fuses_the_body(
    name: str, fused: dict[str, int], opset: int, tmp_path: Path
) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(
        build(CASES[name], opset=opset), options, providers=["CPUExecutionProvider"]
    )
    graph = onnx.load(options.optimized_model_filepath).graph
    counts = Counter(node.op_type for node in graph.node)
    for shapes in ("Transpose", "Flatten", "Reshape", "Shape", "Slice", "Concat"):
        counts.pop(shapes, None)
    assert counts == fused


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_file_holds_so_many_bits_for_each_weight(bits: int) -> None:
    case = coded(gemm(1, (1, 64), 256), bits)
    tables = case.codebooks.nbytes + 8 * 256
    overhead = len(build(case)) - tables - 256 * 64 * bits // 8
    assert 0 < overhead < 7000  # the function body and names


def test_empty_batch_gives_an_empty_result(library: str) -> None:
    case = CASES["3x3"]
    empty = replace(case, case=replace(case.case, x=case.case.x[:0]))
    assert run(empty, native=True).shape == (0, 32, 9, 11)


def test_multiplier_beyond_int32_saturates(library: str) -> None:
    case = CASES["1x1"]
    huge = replace(case, case=replace(case.case, w_scale=np.full(40, 1e9, np.float32)))
    np.testing.assert_array_equal(run(huge, native=True), expected(huge))


SHORT = np.zeros(7, np.uint8)
BROKEN_CONV: dict[str, tuple[dict[str, Any], str]] = {  # Any: broken attributes and inputs
    "bits-five": ({"bits": 5}, "attribute bits is 5, expected 2 to 4"),
    "bits-missing": ({"bits": None}, "attribute bits is missing or no integer"),
    "bucket-zero": ({"bucket": 0}, "attribute bucket is 0, expected 1 to"),
    "shape-missing": ({"w_shape": None}, "attribute w_shape is missing"),
    "shape-rank": ({"w_shape": [32, 144]}, "w_shape has 2 values, expected 3 to 4"),
    "shape-zero": ({"w_shape": [32, 16, 0, 3]}, r"w_shape is \[32, 16, 0, 3\], expected sizes"),
    "shape-huge": ({"w_shape": [1 << 20] * 4}, "at most 1073741824 weights"),
    "shape-other": ({"w_shape": [32, 15, 3, 3]}, r"indices is \[2304\], expected \[2160\]"),
    "indices-short": ({"indices": SHORT}, r"indices is \[7\], expected \[2304\]: 4 bits for"),
    "indices-rank": ({"indices": SHORT[None]}, r"indices is \[1, 7\], expected \[2304\]"),
    "books-short": (
        {"codebooks": np.zeros((31, 16), np.int8)},
        r"codebooks is \[31, 16\], expected \[32, 16\]: a book for every 144 weights",
    ),
    "books-of-8": ({"codebooks": np.zeros((32, 8), np.int8)}, r"expected \[32, 16\]: a book"),
    "bias-short": ({"bias": np.zeros(31, np.int32)}, "input bias has 31 values, .* 32 outputs"),
    "w-scale-short": ({"w_scale": np.ones(2, np.float32)}, "input w_scale has 2 values"),
    "w-scale-infinite": ({"w_scale": np.full(32, np.inf, np.float32)}, r"x_scale \* w_scale\[0\]"),
    "group-no-divisor": ({"group": 5}, "attribute group is 5, expected a divisor of 32"),
    "strides-short": ({"strides": [1]}, "attribute strides has 1 values, expected 2"),
    "perm-other": ({"x_perm": [3, 2, 1, 0]}, r"x_perm must be \[0, 1, 2, 3\] or \[0, 3, 1, 2\]"),
}
BROKEN_GEMM: dict[str, tuple[dict[str, Any], str]] = {  # Any: broken attributes and inputs
    "shape-rank": ({"w_shape": [70, 10, 10]}, "attribute w_shape has 3 values, expected 2"),
    "shape-other": ({"w_shape": [70, 99]}, r"indices is \[3500\], expected \[3465\]"),
    "bits-of-another-stream": ({"bits": 3}, r"indices is \[3500\], expected \[2625\]"),
    "bias-long": ({"bias": np.zeros(71, np.int32)}, "input bias has 71 values, .* 70 outputs"),
}
BROKEN = {("3x3", k): v for k, v in BROKEN_CONV.items()}
BROKEN |= {("gemm", k): v for k, v in BROKEN_GEMM.items()}


@pytest.mark.parametrize(("name", "broken"), BROKEN, ids="-".join)
def test_broken_node_is_refused_with_its_name_and_reason(
    library: str, name: str, broken: str
) -> None:
    overrides, message = BROKEN[name, broken]
    case = overridden(CASES[name], overrides)
    with pytest.raises(Exception, match=f"{case.op_type} 'the node': .*{message}"):
        session(build(case, body=False), native=True)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("3x3", (1, 8, 8), "rank 3|Invalid rank"),
        ("3x3", (1, 8, 8, 15), "input x has 15 channels, the weights expect 16"),
        ("gemm", (3, 99), r"input a is \[3, 99\], the weights expect 100"),
    ],
    ids=["rank", "channels", "depth"],
)
def test_wrong_input_is_refused_and_the_session_lives_on(
    library: str, name: str, shape: tuple[int, ...], message: str
) -> None:
    case = CASES[name]
    made = session(build(case, body=False), native=True)
    (given,) = feeds(case)
    with pytest.raises(Exception, match=message):
        made.run(None, {given: np.zeros(shape, np.uint8)})
    y = channels_first(case, made.run(None, feeds(case))[0])
    np.testing.assert_array_equal(y, expected(case))
