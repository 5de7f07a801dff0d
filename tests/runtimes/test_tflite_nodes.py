"""Operators of a .tflite file are called after the nodes that they are from."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.runtimes.tflite_nodes import NAMELESS, node_names
from tests.runtimes.tflite_models import float_net, int8_net


@pytest.mark.parametrize(
    ("tensor", "op", "node"),
    [
        pytest.param("c", "CONV_2D", "conv", id="its-own-output"),
        pytest.param("r", "CONV_2D", "conv", id="with-a-relu-inside"),
        pytest.param("rd", "Conv2D", "conv", id="quantised"),
        pytest.param("r", "RELU", "relu", id="a-relu-of-its-own"),
        pytest.param("xq", "QUANTIZE", "quantise x", id="at-the-input"),
        pytest.param("m/2", "MEAN", "average", id="a-second-of-the-name"),
        pytest.param("conv", "CONV_2D", "conv", id="called-as-the-node"),
        pytest.param("average/2", "MEAN", "average", id="a-second-of-the-node"),
        pytest.param("y_softmax_3", "Softmax", "classify", id="a-step-of-the-compiler"),
        pytest.param("rare", "MEAN", "rare", id="no-tensor-of-the-model"),
    ],
)
def test_an_operator_is_of_the_node_that_made_its_tensor(
    tensor: str, op: str, node: str, tmp_path: Path
) -> None:
    assert node_names(int8_net(tmp_path / "net.onnx")).of(tensor, op) == node


def test_without_an_onnx_file_tensors_keep_their_names(tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(b"\x1c\0\0\0TFL3")
    assert node_names(other) == NAMELESS
    assert NAMELESS.of("features", "CONV_2D") == "features"


def test_a_node_without_a_name_is_called_after_its_tensor(tmp_path: Path) -> None:
    import onnx

    path = float_net(tmp_path / "net.onnx")
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, path)
    assert node_names(path).of("features", "CONV_2D") == "features"
