"""Times that were worked out by hand from sizes, multiplications and what a device reaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from squeeze.account.operations import operations
from squeeze.account.roofline import roofline, unlimited
from squeeze.target import Peak
from tests.account.test_liveness import node, saved, weights
from tests.measure.models import conv, quantised_conv

PEAK = Peak(float_macs_per_s=1e6, int8_macs_per_s=4e6, memory_bytes_per_s=1e6)


def test_an_operation_takes_the_longer_of_arithmetic_and_memory(tmp_path: Path) -> None:
    # wide: 10 x 100 macs, reads 40 and writes 400 bytes, 4000 of weights. sum: 400 + 4 bytes, nothing multiplied
    path = saved(
        tmp_path / "m.onnx",
        [
            node("MatMul", ["x", "w"], ["a"], name="wide"),
            node("ReduceSum", ["a"], ["y"], name="sum", keepdims=0),
        ],
        {"x": [1, 10]},
        {"y": []},
        {"w": weights(10, 100)},
    )
    found = roofline(operations(path), PEAK)
    assert [(p.name, p.macs, p.bytes, p.bound) for p in found.parts] == [
        ("wide", 1000, 4440, "memory"),
        ("sum", 0, 404, "memory"),
    ]
    assert found.seconds == pytest.approx(4844e-6)
    assert found.share("arithmetic") == 0
    slow = roofline(operations(path), Peak(float_macs_per_s=1e5, memory_bytes_per_s=1e6))
    assert [(p.seconds, p.bound) for p in slow.parts] == [
        (pytest.approx(0.01), "arithmetic"),
        (pytest.approx(404e-6), "memory"),
    ]
    assert slow.share("arithmetic") == pytest.approx(0.01 / 0.010404)


def test_integers_have_a_peak_of_their_own(tmp_path: Path) -> None:
    macs = 8 * 6 * 6 * 4 * 9
    found = operations(quantised_conv(tmp_path / "q.onnx"))
    only = roofline(found, Peak(float_macs_per_s=1e6, int8_macs_per_s=4e6))
    assert only.seconds == pytest.approx(macs / 4e6)
    assert roofline(found, Peak(float_macs_per_s=1e6)).seconds == pytest.approx(macs / 1e6)
    assert unlimited(found, Peak(int8_macs_per_s=4e6)) == []


def test_floats_of_which_nothing_is_said_are_named(tmp_path: Path) -> None:
    path = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    assert [one.name for one in unlimited(operations(path), Peak(int8_macs_per_s=4e6))] == ["conv"]


def test_a_batch_is_divided_among_its_samples(tmp_path: Path) -> None:
    path = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    one = roofline(operations(path), PEAK)
    ten = roofline(operations(path, {"x": (10, 4, 10, 10)}), PEAK)
    assert (one.parts[0].macs, ten.parts[0].macs) == (28800, 28800)
    assert ten.seconds == pytest.approx(one.seconds)


def test_the_slowest_branch_counts(tmp_path: Path) -> None:
    from onnx import TensorProto, numpy_helper

    def branch(name: str, width: int) -> object:
        return helper.make_graph(
            [
                node("MatMul", ["x", f"{name}_w"], [f"{name}_h"], name=name),
                node("ReduceSum", [f"{name}_h"], [f"{name}_y"], keepdims=0),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [])],
            [numpy_helper.from_array(np.ones((10, width), np.float32), f"{name}_w")],
        )

    path = saved(
        tmp_path / "m.onnx",
        [node("If", ["c"], ["y"], then_branch=branch("few", 3), else_branch=branch("many", 30))],
        {"c": [], "x": [1, 10]},
        {"y": []},
        kinds={"c": TensorProto.BOOL},
    )
    found = roofline(operations(path), Peak(float_macs_per_s=1e6))
    assert found.seconds == pytest.approx(300e-6)
    assert [p.name for p in found.parts if p.macs] == ["many"]


def looped(path: Path, runs: np.ndarray | None, *, ends: bool = False) -> Path:
    """A Loop over s [1, 10] times w [10, 10], 100 multiplications a run; `ends`: as long as s[0, 0] is above 0.

    runs: as often; None: as an input says."""
    body = [node("MatMul", ["s", "w"], ["t"], name="step")]
    if ends:
        body += [
            node("ReduceMax", ["t"], ["m"], name="top", keepdims=0),
            node("Greater", ["m", "none"], ["on"], name="above"),
        ]
    else:
        body.append(node("Identity", ["c"], ["on"], name="same"))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        body,
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("c", TensorProto.BOOL, []),
            value("s", TensorProto.FLOAT, [1, 10]),
        ],
        [value("on", TensorProto.BOOL, []), value("t", TensorProto.FLOAT, [1, 10])],
    )
    stored = {"w": weights(10, 10), "none": np.float32(0), "yes": np.bool_(True)}
    takes: dict[str, list[int | str]] = {"x": [1, 10]}
    if runs is None:
        takes["runs"] = []
    else:
        stored["runs"] = runs
    nodes = [node("Loop", ["runs", "yes", "x"], ["y"], name="loop", body=graph)]
    kinds = {"runs": TensorProto.INT64} if runs is None else {}
    return saved(path, nodes, takes, {"y": [1, 10]}, stored, kinds)


@pytest.mark.parametrize(
    ("runs", "ends", "counted", "said"),
    [
        (np.int64(7), False, 7, None),
        (np.array([7]), False, 7, None),
        (np.int64(7), True, 7, "its condition may end it before the 7 runs that are counted"),
        (None, False, 1, "how often its body runs is not known; counted once"),
    ],
)
def test_the_body_of_a_loop_counts_as_often_as_it_runs(
    runs: np.ndarray | None, ends: bool, counted: int, said: str | None, tmp_path: Path
) -> None:
    found = operations(looped(tmp_path / "m.onnx", runs, ends=ends))
    time = roofline(found, Peak(float_macs_per_s=1e6))
    assert time.seconds == pytest.approx(counted * 100e-6)
    assert found.unknown == (() if said is None else (f"loop (Loop): {said}",))


def test_the_body_of_a_scan_counts_for_each_entry(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("MatMul", ["e", "w"], ["p"], name="step"),
            node("Add", ["s", "p"], ["t"], name="sum"),
            node("Identity", ["t"], ["o"], name="out"),
        ],
        "body",
        [value(n, TensorProto.FLOAT, [1, 10]) for n in ("s", "e")],
        [value(n, TensorProto.FLOAT, [1, 10]) for n in ("t", "o")],
    )
    scan = node("Scan", ["x", "many"], ["y", "all"], name="scan", body=body, num_scan_inputs=1)
    path = saved(
        tmp_path / "m.onnx",
        [scan],
        {"x": [1, 10], "many": [6, 1, 10]},
        {"y": [1, 10], "all": [6, 1, 10]},
        {"w": weights(10, 10)},
    )
    found = operations(path, batch_size=1)
    assert found.unknown == ()
    assert roofline(found, Peak(float_macs_per_s=1e6)).seconds == pytest.approx(6 * 100e-6)


def test_starting_operators_takes_its_time_in_every_run(tmp_path: Path) -> None:
    # 7 runs of the product and of what hands the condition on, and 7 times the body is begun
    peak = Peak(float_macs_per_s=1e6, operator_start_s=1e-3)
    time = roofline(operations(looped(tmp_path / "m.onnx", np.int64(7))), peak)
    assert time.seconds == pytest.approx(7 * 100e-6 + 3 * 7e-3)
    assert {part.bound for part in time.parts} == {"starting"}
    assert time.share("starting") == pytest.approx(1)
    fast = roofline(
        operations(conv(tmp_path / "c.onnx", channels=4, filters=8, kernel=3, size=10)), peak
    )
    assert [(p.seconds, p.bound) for p in fast.parts] == [
        (pytest.approx(1e-3 + 28800e-6), "arithmetic")
    ]
