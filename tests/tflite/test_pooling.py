"""Pools, reductions and resizing against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert: pip install squeeze[litert]")

from squeeze import tflite
from tests.tflite.models import agrees, agrees_int8, net, node, operators, saved

IMAGE = ["n", 5, 9, 8]
POOLS = {
    "valid": dict(kernel_shape=[2, 2], strides=[2, 2]),
    "same": dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "stride 2": dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    "uneven": dict(kernel_shape=[3, 2], pads=[0, 1, 1, 0], strides=[1, 2]),
    "ceil": dict(kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "ceil and pads": dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
    "ceil of whole windows": dict(
        kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1], ceil_mode=1
    ),
}


@pytest.mark.parametrize("case", POOLS)
def test_a_pool_of_the_largest(case: str, tmp_path: Path) -> None:
    made = net([node("MaxPool", "x", **POOLS[case])], {"x": IMAGE})
    agrees(made, tmp_path)
    assert "DEQUANTIZE" not in operators(agrees_int8(made, tmp_path))


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_a_window_behind_the_image_is_refused(op: str, tmp_path: Path) -> None:
    """It has 5 places for onnx's inference of shapes, and 4 for ONNX Runtime, as ONNX says."""
    given = dict(kernel_shape=[1, 4], strides=[1, 3], pads=[0, 2, 0, 2])
    agrees(net([node(op, "x", **given)], {"x": [1, 4, 5, 10]}), tmp_path)
    made = net([node(op, "x", **given, ceil_mode=1)], {"x": [1, 4, 5, 10]})
    ((name, why),) = tflite.refusals(saved(tmp_path / "net.onnx", made))
    assert name == f"{op} y"
    assert "starts behind the image" in why


@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("case", POOLS)
def test_a_pool_of_averages(case: str, counted: int, tmp_path: Path) -> None:
    made = net([node("AveragePool", "x", count_include_pad=counted, **POOLS[case])], {"x": IMAGE})
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path, steps=2)  # the average has the scale of its input, then QUANTIZE


def test_pools_of_sequences(tmp_path: Path) -> None:
    for op in ("MaxPool", "AveragePool"):
        made = net([node(op, "x", kernel_shape=[3], strides=[2], pads=[1, 1])], {"x": ["n", 3, 9]})
        agrees(made, tmp_path)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_pools_of_whole_images(op: str, tmp_path: Path) -> None:
    made = net([node(op, "x")], {"x": IMAGE})
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


def test_an_average_of_the_scale_of_its_image_is_a_pool(tmp_path: Path) -> None:
    """Which an NPU does in fewer cycles than a MEAN."""
    made = net([node("Relu", "x", "r"), node("GlobalAveragePool", "r")], {"x": IMAGE})
    made.same_params = frozenset({"y"})
    assert operators(agrees_int8(made, tmp_path))[-1] == "AVERAGE_POOL_2D"


@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [1], [-1], [1, 3], [2]], ids=str)
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceSum"])
def test_a_reduction(op: str, axes: list[int], keeps: int, tmp_path: Path) -> None:
    made = net(
        [node("MaxPool", "x", "c", kernel_shape=[2, 2]), node(op, "c axes", keepdims=keeps)],
        {"x": IMAGE},
        {"axes": np.asarray(axes)},
    )
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


def test_all_axes_and_none(tmp_path: Path) -> None:
    agrees(net([node("ReduceMean", "x", keepdims=0)], {"x": [1, 6, 5]}), tmp_path)
    none = node("ReduceMean", "x", "m", noop_with_empty_axes=1)
    assert operators(agrees(net([none, node("Tanh", "m")], {"x": [1, 6, 5]}), tmp_path)) == ["TANH"]


@pytest.mark.parametrize("keeps", [0, 1])
def test_a_length(keeps: int, tmp_path: Path) -> None:
    made = net(
        [node("ReduceL2", "x axes", keepdims=keeps)], {"x": [1, 6, 5]}, {"axes": np.asarray([-1])}
    )
    agrees(made, tmp_path)


@pytest.mark.parametrize("axis", [1, -1, 2])
def test_a_softmax(axis: int, tmp_path: Path) -> None:
    made = net([node("Softmax", "x", axis=axis)], {"x": [1, 6, 5]})
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)
    agrees(net([node("LogSoftmax", "x", axis=axis)], {"x": [1, 6, 5]}), tmp_path)


def test_a_layer_normalisation(tmp_path: Path) -> None:
    constants = {
        "s": np.linspace(0.5, 2, 8, dtype=np.float32),
        "b": np.linspace(-1, 1, 8, dtype=np.float32),
    }
    agrees(net([node("LayerNormalization", "x s b")], {"x": [1, 6, 8]}, constants), tmp_path)


@pytest.mark.parametrize("keeps", [0, 1])
def test_the_place_of_the_largest(keeps: int, tmp_path: Path) -> None:
    agrees(net([node("ArgMax", "x", axis=1, keepdims=keeps)], {"x": [1, 6, 5]}), tmp_path)


RESIZES = {
    "nearest": dict(
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    ),
    "nearest, half": dict(mode="nearest", coordinate_transformation_mode="half_pixel"),
    "linear": dict(mode="linear", coordinate_transformation_mode="half_pixel"),
    "linear, corners": dict(mode="linear", coordinate_transformation_mode="align_corners"),
    "linear, torch": dict(mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    "linear, asymmetric": dict(mode="linear", coordinate_transformation_mode="asymmetric"),
}


@pytest.mark.parametrize("factors", [(2, 2), (2, 3)], ids=str)
@pytest.mark.parametrize("case", RESIZES)
def test_an_image_of_another_size(case: str, factors: tuple[int, int], tmp_path: Path) -> None:
    made = net(
        [node("Resize", "x - k", **RESIZES[case])],
        {"x": IMAGE},
        {"k": np.asarray([1, 1, *factors], np.float32)},
    )
    agrees(made, tmp_path)
    # Places are in 1024ths in LiteRT's int8 kernel, which is off where a third is between far neighbours.
    agrees_int8(made, tmp_path, steps=2 if factors == (2, 3) else 1)


def test_a_size_in_numbers(tmp_path: Path) -> None:
    made = net(
        [node("Resize", "x - - s", mode="linear")],
        {"x": [1, 5, 9, 8]},
        {"s": np.asarray([1, 5, 14, 5])},
    )
    agrees(made, tmp_path)


@pytest.mark.parametrize("mode", ["cubic", "nearest"])
def test_places_that_tflite_does_not_read_are_refused(mode: str, tmp_path: Path) -> None:
    made = net(
        [node("Resize", "x - k", mode=mode, nearest_mode="ceil")],
        {"x": [1, 3, 9, 8]},
        {"k": np.asarray([1, 1, 2, 2], np.float32)},
    )
    ((name, why),) = tflite.refusals(saved(tmp_path / "net.onnx", made))
    assert name == "Resize y"
    assert ("its mode is cubic" if mode == "cubic" else "other places") in why
