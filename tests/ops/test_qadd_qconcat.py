"""QAdd and QConcat inside ONNX Runtime: against NumPy, against their bodies, and with broken nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ops import node_model
from tests.ops.node_model import Array, Node, build, most_steps_apart, session

ISAS = ("portable", "x86_avx2", "x86_avx512vnni")
f32 = np.float32


def node(
    op_type: str,
    seed: int,
    a: tuple[int, ...],
    b: tuple[int, ...],
    *,
    dtype: type = np.uint8,
    scales: tuple[float, float, float] = (0.02, 0.03, 0.035),
    zero_points: tuple[int, int, int] = (3, 120, 110),
    axis: int | None = None,
) -> Node:
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    inputs: dict[str, Array] = {}
    for name, shape, scale, zero in zip("aby", (a, b, None), scales, zero_points, strict=True):
        if shape is not None:
            inputs[name] = rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
        inputs[f"{name}_scale"] = np.array(scale, f32)
        inputs[f"{name}_zero_point"] = np.array(zero + limits.min, dtype)
    return Node(op_type, inputs, ("a", "b"), {} if axis is None else {"axis": axis})


def requantised(case: Node, name: str) -> Array:
    """(x - zero_point) * (scale / y_scale), each operation rounded to float32."""
    x = case.inputs[name].astype(np.int32) - case.inputs[f"{name}_zero_point"].astype(np.int32)
    ratio = case.inputs[f"{name}_scale"] / case.inputs["y_scale"]
    return x.astype(f32) * ratio


def rounded(case: Node, values: Array) -> Array:
    zero = case.inputs["y_zero_point"]
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(values) + f32(zero), limits.min, limits.max).astype(zero.dtype)


def expected(case: Node) -> Array:
    a, b = requantised(case, "a"), requantised(case, "b")
    if case.op_type == "QAdd":
        return rounded(case, a + b)
    return np.concatenate([rounded(case, a), rounded(case, b)], case.attributes["axis"])


TIES = (0.5, 0.25, 1.0)
SAME = (0.1, 0.1, 0.1)
CASES = {
    "add-images": node("QAdd", 1, (2, 9, 7, 33), (2, 9, 7, 33)),
    "add-s8": node("QAdd", 2, (2, 5, 7, 64), (2, 5, 7, 64), dtype=np.int8),
    "add-ties": node("QAdd", 3, (1001,), (1001,), scales=TIES, zero_points=(128, 128, 128)),
    "add-scalar": node("QAdd", 4, (), ()),
    "add-empty": node("QAdd", 5, (0, 4), (0, 4)),
    "add-rank-8": node("QAdd", 6, (1, 2, 1, 3, 1, 2, 1, 5), (1, 2, 1, 3, 1, 2, 1, 5)),
    "add-many-tasks": node("QAdd", 7, (3, 100, 1001), (3, 100, 1001)),
    "concat-channels": node("QConcat", 11, (2, 9, 7, 33), (2, 9, 7, 70), axis=3),
    "concat-s8": node("QConcat", 12, (2, 9, 7, 3), (2, 9, 7, 128), axis=-1, dtype=np.int8),
    "concat-rows": node("QConcat", 13, (4, 5, 6), (4, 9, 6), axis=1),
    "concat-first-axis": node("QConcat", 14, (4, 5), (1, 5), axis=0),
    "concat-same-scale": node(
        "QConcat", 15, (2, 40), (2, 30), axis=1, scales=SAME, zero_points=(7, 7, 7)
    ),
    "concat-ties": node("QConcat", 16, (256,), (256,), axis=0, scales=TIES),
    "concat-empty-part": node("QConcat", 17, (3, 0), (3, 5), axis=1),
    "concat-nothing": node("QConcat", 18, (0, 3), (0, 5), axis=1),
    "concat-many-tasks": node("QConcat", 19, (1, 90, 90, 24), (1, 90, 90, 40), axis=3),
}
every_case = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("isa", ISAS)
@every_case
def test_every_isa_equals_numpy_bit_for_bit(
    library: str, name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_ISA", isa)
    y, wanted = node_model.run_native(CASES[name]), expected(CASES[name])
    assert y.dtype == wanted.dtype
    np.testing.assert_array_equal(y, wanted)


@every_case
def test_two_threads_give_the_bytes_of_one(library: str, name: str) -> None:
    one = node_model.run_native(CASES[name])
    np.testing.assert_array_equal(node_model.run_native(CASES[name], threads=2), one)


@pytest.mark.parametrize("opset", [13, 18, 20])
@every_case
def test_body_is_within_one_step(name: str, opset: int) -> None:
    y = node_model.run_body(CASES[name], opset=opset)
    assert most_steps_apart(y, expected(CASES[name])) <= 1


@every_case
def test_body_in_the_reference_is_within_one_step(name: str) -> None:
    y = node_model.run_reference(CASES[name])
    assert most_steps_apart(y, expected(CASES[name])) <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_stock_runtime_fuses_the_body(dtype: type, tmp_path: Path) -> None:
    add = node("QAdd", 1, (2, 3, 4), (2, 3, 4), dtype=dtype)
    assert node_model.fused(add, tmp_path) == {"QLinearAdd": 1}
    concat = node("QConcat", 1, (2, 3, 4), (2, 3, 4), axis=2, dtype=dtype)
    assert node_model.fused(concat, tmp_path) == {"QLinearConcat": 1}


BROKEN: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {  # Any: broken on purpose
    "scale-zero": ("add-images", {"a_scale": f32(0)}, {}, "a_scale must be positive and finite"),
    "scale-nan": ("add-images", {"b_scale": f32("nan")}, {}, "b_scale must be positive"),
    "scale-many": ("add-images", {"y_scale": np.ones(3, f32)}, {}, "y_scale has 3 values"),
    "ratio": ("add-images", {"y_scale": f32(1e-9)}, {}, r"must be below 2\^20 \* y_scale"),
    "zero-points": ("add-images", {"a_zero_point": np.zeros(2, np.uint8)}, {}, "has 2 values"),
    "concat-ratio": ("concat-rows", {"y_scale": f32(1e-9)}, {}, r"must be below 2\^20"),
    "axis-missing": ("concat-rows", {}, {"axis": None}, "attribute axis is missing"),
    "axis-list": ("concat-rows", {}, {"axis": [1]}, "attribute axis is missing or no integer"),
    "axis-huge": ("concat-rows", {}, {"axis": 8}, "attribute axis is 8, expected -8 to 7"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_node_is_refused_with_its_name_and_reason(library: str, name: str) -> None:
    case, inputs, attributes, message = BROKEN[name]
    given = {k: np.asarray(v) for k, v in inputs.items()}
    broken = CASES[case].having(**given)
    kept = {k: v for k, v in {**broken.attributes, **attributes}.items() if v is not None}
    broken = replace(broken, attributes=kept)
    with pytest.raises(Exception, match=f"{broken.op_type} 'the node': .*{message}"):
        session(build(broken, body=False), native=True)


@pytest.mark.parametrize(
    ("name", "b", "message"),
    [
        ("add-images", (2, 9, 7, 32), r"one shape, got \[2, 9, 7, 33\] and \[2, 9, 7, 32\]"),
        ("concat-rows", (4, 9, 7), r"differ along axis 1 alone, got \[4, 5, 6\] and \[4, 9, 7\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    library: str, name: str, b: tuple[int, ...], message: str
) -> None:
    case = CASES[name]
    made = session(build(case, body=False), native=True)
    with pytest.raises(Exception, match=message):
        made.run(None, {"a": case.inputs["a"], "b": np.zeros(b, np.uint8)})
    np.testing.assert_array_equal(made.run(None, case.feeds())[0], expected(case))


def test_axis_beyond_the_rank_is_refused(library: str) -> None:
    made = session(build(CASES["concat-rows"].saying(axis=3), body=False), native=True)
    with pytest.raises(Exception, match="attribute axis is 3, input a has rank 3"):
        made.run(None, CASES["concat-rows"].feeds())


def test_ranks_that_differ_are_refused(library: str) -> None:
    for op_type, axis in (("QAdd", None), ("QConcat", 0)):
        case = node(op_type, 1, (2, 3), (2, 3, 1), axis=axis)
        made = session(build(case, body=False), native=True)
        with pytest.raises(Exception, match=r"\[2, 3\] and \[2, 3, 1\]"):
            made.run(None, case.feeds())
