"""Operators that move, join and cut against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert: pip install squeeze[litert]")

from squeeze import tflite
from tests.tflite.models import agrees, agrees_int8, net, node, normal, operators, saved

IMAGE = ["n", 4, 5, 6]
PULL = node("MaxPool", "x", "c", kernel_shape=[2, 2])  # makes its neighbours channels last


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_two_images_side_by_side(axis: int, tmp_path: Path) -> None:
    made = net([PULL, node("Tanh", "c", "t"), node("Concat", "c t", axis=axis)], {"x": IMAGE})
    agrees(made, tmp_path)
    found = operators(agrees_int8(made, tmp_path))
    assert "TRANSPOSE" not in found
    assert "QUANTIZE" in found  # of the one that has another scale


def test_an_image_in_parts(tmp_path: Path) -> None:
    for axis, sizes in ((1, [1, 3]), (2, [2, 2])):
        made = net(
            [PULL, node("Split", "c sizes", "y z", axis=axis)],
            {"x": IMAGE},
            {"sizes": np.asarray(sizes)},
            ["y", "z"],
        )
        agrees(made, tmp_path)
        agrees_int8(made, tmp_path)


@pytest.mark.parametrize(
    "cut",
    [
        ([1], [3], [1], [1]),
        ([0, 1], [4, 9], [2, 3], [2, 2]),
        ([-1], [-99], [1], [-1]),
        ([1, -3], [-1, 2**62], [-1, 2], [1, 1]),
    ],
    ids=str,
)
def test_a_slice(cut: tuple[list[int], ...], tmp_path: Path) -> None:
    constants = {name: np.asarray(values) for name, values in zip("aoes", cut, strict=True)}
    made = net([PULL, node("Slice", "c a o e s")], {"x": IMAGE}, constants)
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_pad(value: float, tmp_path: Path) -> None:
    constants = {"p": np.asarray([0, 1, 2, 0, 0, 0, 1, 3]), "v": np.float32(value)}
    made = net([PULL, node("Pad", "c p v")], {"x": IMAGE}, constants)
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


def test_a_pad_that_mirrors_and_one_along_some_axes(tmp_path: Path) -> None:
    agrees(
        net(
            [PULL, node("Pad", "c p", mode="reflect")],
            {"x": IMAGE},
            {"p": np.asarray([0, 0, 1, 2, 0, 0, 2, 1])},
        ),
        tmp_path,
    )
    constants = {"p": np.asarray([1, 2]), "v": np.float32(0), "axes": np.asarray([-1])}
    agrees(net([PULL, node("Pad", "c p v axes")], {"x": IMAGE}, constants), tmp_path)


def test_places_of_a_value_and_rows_of_a_table(tmp_path: Path) -> None:
    for axis, places in ((1, np.asarray([2, 0])), (2, np.asarray(1)), (3, np.asarray([[-1, 0]]))):
        made = net([PULL, node("Gather", "c i", axis=axis)], {"x": IMAGE}, {"i": places})
        agrees(made, tmp_path)
        agrees_int8(made, tmp_path)


@pytest.mark.parametrize("order", [[0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [0, 2, 1, 3]], ids=str)
def test_a_transpose(order: list[int], tmp_path: Path) -> None:
    made = net(
        [PULL, node("Transpose", "c", "t", perm=order), node("Softmax", "t", axis=-1)], {"x": IMAGE}
    )
    found = operators(agrees(made, tmp_path))
    assert found.count("TRANSPOSE") == (0 if order == [0, 2, 3, 1] else 1)


@pytest.mark.parametrize(
    "shape", [[1, 4, 20], [1, 80], [4, 20], [1, 2, 2, 4, 5], [1, 5, 4, 4]], ids=str
)
def test_another_shape(shape: list[int], tmp_path: Path) -> None:
    made = net(
        [PULL, node("Reshape", "c s", "r"), node("Tanh", "r")],
        {"x": IMAGE},
        {"s": np.asarray(shape)},
    )
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


def test_an_image_as_a_sequence_of_its_places_moves_nothing(tmp_path: Path) -> None:
    """As vision transformers begin."""
    nodes = [
        node("Conv", "x w", "c", strides=[2, 2]),
        node("Reshape", "c s", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1]),
        node("MatMul", "t v", "y"),
    ]
    constants = {"w": normal(6, 3, 2, 2), "s": np.asarray([1, 6, -1]), "v": normal(6, 5)}
    found = operators(agrees(net(nodes, {"x": [1, 3, 8, 6]}, constants), tmp_path))
    assert found == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_axes_that_come_and_go(tmp_path: Path) -> None:
    nodes = [
        PULL,
        node("GlobalAveragePool", "c", "g"),
        node("Squeeze", "g axes", "s"),
        node("Tanh", "s", "t"),
        node("Unsqueeze", "t axes", "u"),
        node("Mul", "c u"),
    ]
    agrees(net(nodes, {"x": IMAGE}, {"axes": np.asarray([2, 3])}), tmp_path)


def test_expand_and_tile(tmp_path: Path) -> None:
    agrees(net([node("Expand", "x s")], {"x": [1, 4, 1]}, {"s": np.asarray([1, 4, 5])}), tmp_path)
    agrees(
        net([PULL, node("Tile", "c s")], {"x": IMAGE}, {"s": np.asarray([1, 2, 1, 3])}), tmp_path
    )


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_and_back(mode: str, tmp_path: Path) -> None:
    made = net([node("DepthToSpace", "x", blocksize=2, mode=mode)], {"x": [1, 12, 3, 5]})
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)
    agrees(net([node("SpaceToDepth", "x", blocksize=2)], {"x": [1, 3, 4, 6]}), tmp_path)


def test_an_operator_of_another_domain_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", net([node("Det", "x", "y")], {"x": [1, 3, 3]}))
    ((name, why),) = tflite.refusals(path)
    assert name == "Det y"
    assert why.startswith("Det: TFLite has no such operator")
