"""Times that were worked out by hand from sizes, multiplications and what a device reaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

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
    assert found.arithmetic_share == 0
    slow = roofline(operations(path), Peak(float_macs_per_s=1e5, memory_bytes_per_s=1e6))
    assert [(p.seconds, p.bound) for p in slow.parts] == [
        (pytest.approx(0.01), "arithmetic"),
        (pytest.approx(404e-6), "memory"),
    ]
    assert slow.arithmetic_share == pytest.approx(0.01 / 0.010404)


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
