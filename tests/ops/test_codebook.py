"""CodebookConv and CodebookGemm inside ONNX Runtime: against NumPy float64, against their bodies, with broken nodes."""

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

from tests.ops.codebook_model import (
    Array,
    Case,
    build,
    channels_first,
    expected,
    feeds,
    random_case,
    run,
    size_of_sums,
)
from tests.ops.qconv_model import session

SAME = (1, 1, 1, 1)
CASES: dict[str, Case] = {
    "3x3": random_case(1, (2, 16, 9, 11), (33, 16, 3, 3), pads=SAME),
    "3x3-2-bits": random_case(2, (1, 17, 12, 12), (32, 17, 3, 3), 2, pads=SAME, strides=(2, 2)),
    "3x3-3-bits": random_case(3, (1, 5, 8, 7), (48, 5, 3, 3), 3, pads=SAME),
    "stem-channels-first": random_case(4, (1, 3, 32, 32), (16, 3, 3, 3), pads=SAME, nhwc=False),
    "odd-channels-first": random_case(
        23, (2, 21, 7, 9), (19, 21, 3, 3), pads=(0, 1, 2, 0), strides=(2, 1), nhwc=False
    ),
    "1x1": random_case(5, (3, 24, 6, 6), (40, 24, 1, 1)),
    "1x1-one-pixel": random_case(6, (1, 130, 1, 1), (10, 130, 1, 1), 3),
    "depthwise": random_case(7, (1, 40, 10, 10), (40, 1, 3, 3), group=40, pads=SAME),
    "grouped": random_case(8, (1, 12, 7, 7), (8, 3, 3, 3), group=4, pads=SAME),
    "dilated": random_case(
        9, (1, 9, 14, 12), (16, 9, 3, 3), pads=(2, 0, 1, 3), dilations=(2, 3), strides=(1, 2)
    ),
    "one-dimension": random_case(
        10, (2, 6, 50), (20, 6, 5), pads=(2, 1), strides=(2,), dilations=(1,)
    ),
    "one-dimension-channels-first": random_case(
        11, (1, 7, 30), (5, 7, 3), pads=(1, 1), strides=(1,), dilations=(1,), nhwc=False
    ),
    "one-book": random_case(12, (1, 8, 6, 6), (24, 8, 3, 3), 3, 10_000, pads=SAME),
    "books-across-channels": random_case(13, (1, 8, 6, 6), (24, 8, 3, 3), 4, 100, pads=SAME),
    "small-books-across-channels": random_case(14, (1, 8, 6, 6), (24, 8, 3, 3), 2, 50, pads=SAME),
    "large": random_case(15, (2, 64, 40, 40), (64, 64, 3, 3), pads=SAME),
    "gemm": random_case(16, (5, 100), (70, 100)),
    "gemm-vector": random_case(17, (384,), (200, 384)),
    "gemm-2-bits": random_case(18, (2, 3, 64), (33, 64), 2),
    "gemm-3-bits-across-bytes": random_case(19, (7, 9), (5, 9), 3),
    "gemm-many-rows": random_case(20, (3, 50, 48), (65, 48)),
    "gemm-books-of-32": random_case(21, (2, 96), (40, 96), 4, 32),
    "gemm-wide": random_case(22, (1, 384), (1536, 384)),
}
every_case = pytest.mark.parametrize("name", CASES)


def assert_close(case: Case, y: Array) -> None:
    """Equal but for rounding, which no order of summation escapes: an error of each addition."""
    wanted, size = expected(case), size_of_sums(case)
    assert y.shape == wanted.shape
    assert y.dtype == np.float32
    assert np.max(np.abs(y - wanted) / size) < 1e-5


@every_case
@pytest.mark.parametrize("isa", ["", "x86_avx2", "portable"])
def test_native_equals_float64(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    assert_close(CASES[name], run(CASES[name], native=True))


@every_case
def test_body_equals_float64(name: str) -> None:
    assert_close(CASES[name], run(CASES[name], native=False))


@every_case
def test_reference_evaluator_runs_the_body(name: str) -> None:
    case = CASES[name]
    y = ReferenceEvaluator(onnx.load_from_string(build(case))).run(None, feeds(case))[0]
    assert_close(case, channels_first(case, y))


@every_case
def test_two_threads_give_the_bytes_of_one(library: str, name: str) -> None:
    one = run(CASES[name], native=True, threads=1)
    assert run(CASES[name], native=True, threads=2).tobytes() == one.tobytes()


@pytest.mark.parametrize("opset", range(13, 21))
@pytest.mark.parametrize(("name", "left"), [("3x3", {"Conv"}), ("gemm", {"MatMul", "Gemm"})])
def test_stock_runtime_decodes_the_weights_when_it_loads(
    name: str, left: set[str], opset: int, tmp_path: Path
) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    case = CASES[name]
    made = ort.InferenceSession(
        build(case, opset=opset), options, providers=["CPUExecutionProvider"]
    )
    assert_close(case, channels_first(case, made.run(None, feeds(case))[0]))
    counts = Counter(n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node)
    assert sum(counts[op] for op in left) == 1
    assert set(counts) <= left | {"Transpose", "Reshape", "Add"}


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_file_holds_so_many_bits_for_each_weight(bits: int) -> None:
    case = random_case(1, (1, 64), (256, 64), bits)
    file_bytes = len(build(case))
    tables = case.codebooks.nbytes + case.bias.nbytes
    overhead = file_bytes - tables - 256 * 64 * bits // 8
    assert 0 < overhead < 6000  # the function body and names


def test_empty_batch_gives_an_empty_result(library: str) -> None:
    case = replace(CASES["3x3"], x=CASES["3x3"].x[:0])
    assert run(case, native=True).shape == (0, 33, 9, 11)
    case = replace(CASES["gemm"], x=CASES["gemm"].x[:0])
    assert run(case, native=True).shape == (0, 70)


SHORT = np.zeros(7, np.uint8)
BROKEN_CONV: dict[str, tuple[dict[str, Any], str]] = {  # Any: broken attributes and inputs
    "bits-five": ({"bits": 5}, "attribute bits is 5, expected 2 to 4"),
    "bits-missing": ({"bits": None}, "attribute bits is missing or no integer"),
    "bucket-zero": ({"bucket": 0}, "attribute bucket is 0, expected 1 to"),
    "shape-missing": ({"w_shape": None}, "attribute w_shape is missing"),
    "shape-rank": ({"w_shape": [33, 144]}, "w_shape has 2 values, expected 3 to 4"),
    "shape-zero": ({"w_shape": [33, 16, 0, 3]}, r"w_shape is \[33, 16, 0, 3\], expected sizes"),
    "shape-huge": ({"w_shape": [1 << 20] * 4}, "and at most 1073741824 weights"),
    "shape-other": ({"w_shape": [33, 15, 3, 3]}, "input indices .* 2376 bytes, .* 2228 bytes"),
    "indices-short": ({"indices": SHORT}, "input indices has rank 1 and 7 bytes, .* 2376 bytes"),
    "indices-rank": ({"indices": SHORT[None]}, "input indices has rank 2 and 7 bytes"),
    "books-short": (
        {"codebooks": np.zeros((32, 16), np.float32)},
        r"input codebooks has rank 2 and 512 values, expected \[33, 16\]",
    ),
    "books-of-8": (
        {"codebooks": np.zeros((33, 8), np.float32)},
        r"expected \[33, 16\]: a book for each 144 weights",
    ),
    "books-infinite": (
        {"codebooks": np.full((33, 16), np.inf, np.float32)},
        "input codebooks has the value inf, expected finite values",
    ),
    "bias-short": ({"bias": np.zeros(32, np.float32)}, "input bias has 32 values, .* 33 outputs"),
    "group-no-divisor": ({"group": 2}, "attribute group is 2, expected a divisor of 33"),
    "strides-short": ({"strides": [1]}, "attribute strides has 1 values, expected 2"),
    "pads-negative": ({"pads": [0, 0, -1, 0]}, "attribute pads has the value -1"),
    "perm-other": ({"x_perm": [3, 2, 1, 0]}, r"x_perm must be \[0, 1, 2, 3\] or \[0, 3, 1, 2\]"),
    "perm-of-x": ({"y_perm": [0, 3, 1, 2]}, r"y_perm must be \[0, 1, 2, 3\] or \[0, 2, 3, 1\]"),
}


@pytest.mark.parametrize("name", BROKEN_CONV)
def test_broken_conv_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    overrides, message = BROKEN_CONV[name]
    case = replace(CASES["3x3"], overrides=overrides)
    with pytest.raises(Exception, match=f"CodebookConv 'the node': .*{message}"):
        session(build(case, body=False), native=True)


BROKEN_GEMM: dict[str, tuple[dict[str, Any], str]] = {  # Any: broken attributes and inputs
    "shape-rank": ({"w_shape": [70, 10, 10]}, "attribute w_shape has 3 values, expected 2 to 2"),
    "shape-other": ({"w_shape": [70, 99]}, "input indices .* 3500 bytes, .* 3465 bytes"),
    "bits-of-another-stream": ({"bits": 3}, "input indices .* 3500 bytes, .* 2625 bytes"),
    "bias-long": ({"bias": np.zeros(71, np.float32)}, "input bias has 71 values, .* 70 outputs"),
}


@pytest.mark.parametrize("name", BROKEN_GEMM)
def test_broken_gemm_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    overrides, message = BROKEN_GEMM[name]
    case = replace(CASES["gemm"], overrides=overrides)
    with pytest.raises(Exception, match=f"CodebookGemm 'the node': .*{message}"):
        session(build(case, body=False), native=True)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("3x3", (1, 8, 8), "rank 3|Invalid rank"),
        ("3x3", (1, 8, 8, 15), "input x has 15 channels, the weights expect 16"),
        ("3x3", (1, 0, 8, 16), "input x is 0 x 8 pixels, too few"),
        ("gemm", (3, 99), "input a has rank 2 and a last dimension of 99, the weights expect 100"),
    ],
    ids=["rank", "channels", "no-pixels", "depth"],
)
def test_wrong_input_is_refused_and_the_session_lives_on(
    library: str, name: str, shape: tuple[int, ...], message: str
) -> None:
    case = CASES[name]
    made = session(build(case, body=False), native=True)
    (given,) = feeds(case)
    with pytest.raises(Exception, match=message):
        made.run(None, {given: np.zeros(shape, np.float32)})
    assert_close(case, channels_first(case, made.run(None, feeds(case))[0]))
