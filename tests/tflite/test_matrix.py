"""Products of matrices against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert: pip install squeeze[litert]")

from squeeze import tflite
from tests.tflite.models import agrees, agrees_int8, net, node, normal, operators, saved


@pytest.mark.parametrize("turned", [0, 1])
def test_a_gemm(turned: int, tmp_path: Path) -> None:
    w = normal(5, 9, seed=1)
    made = net(
        [node("Gemm", "x w b", transB=turned)],
        {"x": ["n", 9]},
        {"w": w if turned else w.T.copy(), "b": normal(5, seed=2)},
        weights={"w": 0 if turned else 1},
        biases={"b": ("x", "w")},
    )
    assert operators(agrees(made, tmp_path)) == ["FULLY_CONNECTED"]
    assert operators(agrees_int8(made, tmp_path)) == ["FULLY_CONNECTED"]


def test_a_gemm_with_factors(tmp_path: Path) -> None:
    made = net(
        [node("Gemm", "x w b", alpha=0.5, beta=2.0)],
        {"x": [1, 9]},
        {"w": normal(9, 5), "b": normal(5)},
    )
    agrees(made, tmp_path)


@pytest.mark.parametrize("shape", [[1, 9], [1, 3, 9], [1, 2, 3, 9]], ids=str)
def test_a_product_with_constants_takes_its_bias_in(shape: list[int], tmp_path: Path) -> None:
    made = net(
        [node("MatMul", "x w", "m"), node("Add", "m b", "a"), node("Relu", "a")],
        {"x": shape},
        {"w": normal(9, 5), "b": normal(5)},
        weights={"w": 1},
        bare=["m", "a"],
    )
    assert operators(agrees(made, tmp_path)) == ["FULLY_CONNECTED"]
    assert operators(agrees_int8(made, tmp_path)) == ["FULLY_CONNECTED"]


@pytest.mark.parametrize("shapes", [([1, 3, 4, 5], [1, 3, 5, 6]), ([1, 4, 5], [1, 5, 2])], ids=str)
def test_a_product_of_two_values(shapes: tuple[list[int], list[int]], tmp_path: Path) -> None:
    made = net([node("MatMul", "x z")], {"x": shapes[0], "z": shapes[1]})
    assert operators(agrees(made, tmp_path)) == ["BATCH_MATMUL"]
    assert operators(agrees_int8(made, tmp_path)) == ["BATCH_MATMUL"]


def test_a_product_with_a_turned_matrix_moves_nothing(tmp_path: Path) -> None:
    made = net(
        [node("Transpose", "z", "t", perm=[0, 2, 1]), node("MatMul", "x t")],
        {"x": [1, 4, 5], "z": [1, 6, 5]},
    )
    assert operators(agrees(made, tmp_path)) == ["BATCH_MATMUL"]


def test_attention(tmp_path: Path) -> None:
    """Two heads of four over six places, as exporters write it."""
    nodes = [node("Split", "qkv", "q k v", axis=2, num_outputs=3)]
    nodes.insert(0, node("MatMul", "x w", "qkv"))
    for name in "qkv":
        nodes.append(node("Reshape", f"{name} heads", f"{name}h"))
        nodes.append(node("Transpose", f"{name}h", f"{name}t", perm=[0, 2, 1, 3]))
    nodes += [
        node("Transpose", "kt", "kk", perm=[0, 1, 3, 2]),
        node("MatMul", "qt kk", "s"),
        node("Mul", "s half", "ss"),
        node("Softmax", "ss", "p", axis=-1),
        node("MatMul", "p vt", "o"),
        node("Transpose", "o", "ot", perm=[0, 2, 1, 3]),
        node("Reshape", "ot flat", "y"),
    ]
    constants = {
        "w": normal(8, 24, scale=0.3),
        "heads": np.asarray([1, 6, 2, 4]),
        "flat": np.asarray([1, 6, 8]),
        "half": np.float32(0.5),
    }
    agrees(net(nodes, {"x": [1, 6, 8]}, constants), tmp_path)


def test_an_image_that_is_flattened_is_not_moved_for_a_matrix(tmp_path: Path) -> None:
    """The columns of the weights are, once and for all."""
    made = net(
        [node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("Gemm", "f v b", transB=1)],
        {"x": ["n", 2, 5, 4]},
        {"w": normal(3, 2, 2, 2), "v": normal(7, 36, scale=0.2), "b": normal(7)},
        weights={"w": 0, "v": 0},
        biases={"b": ("f", "v")},
    )
    assert operators(agrees(made, tmp_path)) == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert operators(agrees_int8(made, tmp_path)) == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_an_image_that_is_flattened_for_others_too_is_moved(tmp_path: Path) -> None:
    made = net(
        [
            node("Conv", "x w", "c"),
            node("Flatten", "c", "f"),
            node("Gemm", "f v", "y", transB=1),
            node("Tanh", "f", "z"),
        ],
        {"x": [1, 2, 5, 4]},
        {"w": normal(3, 2, 2, 2), "v": normal(7, 36)},
        outputs=["y", "z"],
    )
    assert operators(agrees(made, tmp_path)).count("TRANSPOSE") == 1


def test_a_first_matrix_that_is_turned_is_refused(tmp_path: Path) -> None:
    made = net([node("Gemm", "x w", transA=1)], {"x": [4, 1]}, {"w": normal(4, 3)})
    ((name, why),) = tflite.refusals(saved(tmp_path / "net.onnx", made))
    assert name == "Gemm y"
    assert "put a Transpose before it" in why
