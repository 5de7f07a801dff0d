from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze import ops
from squeeze.account import complexity, file_bytes, stored, summary
from squeeze.account.macs import WEIGHT_INPUT
from squeeze.errors import ConfigError, MeasureError
from tests.measure.models import conv, linear, needs_data, quantised_conv, relu, save


def test_cost_of_a_matrix_product_is_inputs_times_outputs(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", inputs=7, outputs=5)
    found = complexity(path)
    assert (found.macs, found.params, found.weight_bytes) == (35, 40, 160)
    assert found.file_bytes == path.stat().st_size
    assert [(n.name, n.op, n.weight_bits, n.weight_bytes) for n in found.nodes] == [
        ("dense", "Gemm", 32, 140)
    ]
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("group", "stride", "macs", "params"),
    [
        (1, 1, 8 * 10 * 10 * 4 * 9, 8 * 4 * 9 + 8),
        (1, 2, 8 * 5 * 5 * 4 * 9, 8 * 4 * 9 + 8),
        (2, 1, 8 * 10 * 10 * 2 * 9, 8 * 2 * 9 + 8),
        (4, 2, 8 * 5 * 5 * 1 * 9, 8 * 1 * 9 + 8),
    ],
    ids=["plain", "stride", "groups", "depthwise-stride"],
)
def test_cost_of_a_convolution(
    tmp_path: Path, group: int, stride: int, macs: int, params: int
) -> None:
    path = conv(
        tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10, group=group, stride=stride
    )
    found = complexity(path)
    assert (found.macs, found.params, found.weight_bytes) == (macs, params, 4 * params)


def test_cost_of_a_quantised_convolution_counts_weights_and_not_scales(tmp_path: Path) -> None:
    found = complexity(quantised_conv(tmp_path / "m.onnx"))
    assert found.macs == 8 * 6 * 6 * 4 * 9
    assert found.params == 8 * 4 * 9 + 8
    # s, z, w, ws, wz, b, bs
    assert found.weight_bytes == 4 + 1 + 288 + 32 + 8 + 32 + 32
    assert (found.nodes[0].weight_bits, found.nodes[0].weight_bytes) == (8, 288)


def test_cost_of_a_transposed_convolution_counts_each_input_once_per_weight(tmp_path: Path) -> None:
    w = np.zeros((4, 6, 2, 2), np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    path = save(tmp_path / "m.onnx", [node], ["n", 4, 5, 5], ["n", 6, 10, 10], {"w": w})
    assert complexity(path).macs == 4 * 5 * 5 * 6 * 2 * 2


def test_cost_of_batched_and_integer_matrix_products(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "x_t"], ["a"]),
        helper.make_node("Transpose", ["x"], ["x_t"], perm=[0, 1, 3, 2]),
        helper.make_node("Cast", ["a"], ["i"], to=TensorProto.INT8),
        helper.make_node("MatMulInteger", ["i", "w"], ["y"]),
    ]
    nodes = [nodes[1], nodes[0], *nodes[2:]]
    path = save(
        tmp_path / "m.onnx",
        nodes,
        ["n", 3, 4, 5],
        ["n", 3, 4, 7],
        {"w": np.zeros((4, 7), np.int8)},
        y_type=TensorProto.INT32,
    )
    # [3, 4, 5] x [3, 5, 4], then [3, 4, 4] x [4, 7]
    assert complexity(path).macs == 3 * 4 * 4 * 5 + 3 * 4 * 7 * 4
    assert complexity(path).params == 28


def test_cost_of_a_transposed_gemm_and_of_qlinear_ops(tmp_path: Path) -> None:
    gemm = helper.make_node("Gemm", ["w", "x"], ["y"], transA=1)
    path = save(tmp_path / "g.onnx", [gemm], [6, 2], [3, 2], {"w": np.zeros((6, 3), np.float32)})
    assert (
        complexity(path).nodes[0].macs * 6 == 6 * 3 * 2
    )  # the first dimension, 6, counts as the batch
    scales: dict[str, np.ndarray] = {"s": np.float32(1), "z": np.uint8(0), "sz": np.int8(0)}
    node = helper.make_node(
        "QLinearConv", ["x", "s", "z", "w", "s", "sz", "s", "z", "b"], ["y"], name="q", group=2
    )
    path = save(
        tmp_path / "q.onnx",
        [node],
        ["n", 4, 8, 8],
        ["n", 6, 6, 6],
        {**scales, "w": np.ones((6, 2, 3, 3), np.int8), "b": np.zeros(6, np.int32)},
        x_type=TensorProto.UINT8,
        y_type=TensorProto.UINT8,
    )
    found = complexity(path)
    assert (found.macs, found.params) == (6 * 6 * 6 * 2 * 9, 6 * 2 * 9 + 6)


def test_cost_of_an_lstm_multiplies_both_matrices_each_step(tmp_path: Path) -> None:
    w, r = np.zeros((1, 4 * 6, 3), np.float32), np.zeros((1, 4 * 6, 6), np.float32)
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=6)
    path = save(tmp_path / "m.onnx", [node], [1, 2, 3], [1, 1, 2, 6], {"w": w, "r": r})
    assert complexity(path).macs == 2 * (24 * 3 + 24 * 6)


def test_cost_looks_through_a_reshape_that_computes_its_shape(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Concat", ["n", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    weights: dict[str, np.ndarray] = {
        "zero": np.array([0], np.int64),
        "rest": np.array([-1], np.int64),
        "w": np.zeros((12, 5), np.float32),
    }
    found = complexity(save(tmp_path / "m.onnx", nodes, ["n", 3, 4], ["n", 5], weights))
    assert (found.macs, found.params, found.unknown) == (60, 60, ())


def test_cost_names_what_it_cannot_count(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["w", "f"], ["m"], name="lost"),
        helper.make_node("Einsum", ["m"], ["y"], equation="ij->i", name="sum"),
    ]
    path = save(tmp_path / "m.onnx", nodes, ["n", 4], [3], {"w": np.ones((3, 2), np.float32)})
    found = complexity(path)
    assert found.macs == 0
    assert found.unknown == ("lost (MatMul): shapes unknown", "sum (Einsum): not counted")


def test_cost_needs_the_shape_only_where_a_dimension_varies(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    w = np.ones((8, 4), np.float32)
    path = save(tmp_path / "m.onnx", [node], ["n", "steps", 8], ["n", "steps", 4], {"w": w})
    assert complexity(path).unknown == ("y (MatMul): shapes unknown",)
    assert complexity(path, {"x": (1, 10, 8)}).macs == 10 * 8 * 4
    assert complexity(path, {"x": (3, 10, 8)}).macs == 10 * 8 * 4


def test_cost_counts_our_convolution_and_not_its_body(tmp_path: Path) -> None:
    body = helper.make_function(
        "ai.squeeze",
        "QConv",
        ["x", "xs", "xz", "w", "ws", "b", "ys", "yz"],
        ["y"],
        [
            helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xd"]),
            helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"], axis=0),
            helper.make_node("Conv", ["xd", "wd"], ["c"]),
            helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["y"]),
        ],
        [helper.make_opsetid("", 17)],
    )
    node = helper.make_node(
        "QConv", ["x", "s", "z", "w", "ws", "b", "s", "z"], ["y"], name="q", domain="ai.squeeze"
    )
    weights: dict[str, np.ndarray] = {
        "s": np.float32(0.1),
        "z": np.uint8(0),
        "w": np.ones((5, 3, 3, 3), np.int8),
        "ws": np.ones(5, np.float32),
        "b": np.zeros(5, np.int32),
    }
    path = save(
        tmp_path / "m.onnx",
        [node],
        ["n", 3, 8, 8],
        ["n", 5, 6, 6],
        weights,
        x_type=TensorProto.UINT8,
        y_type=TensorProto.UINT8,
        functions=[body],
        domains=("ai.squeeze",),
    )
    found = complexity(path)
    assert (found.macs, found.params, found.unknown) == (5 * 6 * 6 * 27, 135 + 5, ())
    assert [(n.op, n.weight_bits) for n in found.nodes] == [("QConv", 8)]


def test_cost_counts_inside_other_functions(tmp_path: Path) -> None:
    body = helper.make_function(
        "mine",
        "Dense",
        ["a", "b"],
        ["c"],
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        [helper.make_opsetid("", 17)],
    )
    node = helper.make_node("Dense", ["x", "w"], ["y"], domain="mine")
    path = save(
        tmp_path / "m.onnx",
        [node],
        ["n", 3],
        ["n", 2],
        {"w": np.ones((3, 2), np.float32)},
        functions=[body],
        domains=("mine",),
    )
    assert complexity(path).macs == 6


def test_file_bytes_adds_external_data_and_refuses_to_leave_the_folder(tmp_path: Path) -> None:
    model = onnx.load(linear(tmp_path / "whole.onnx", inputs=300, outputs=4))
    path = tmp_path / "split.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    both = path.stat().st_size + (tmp_path / "w.bin").stat().st_size
    assert file_bytes(path) == both
    assert complexity(path).weight_bytes == 4 * (300 * 4 + 4)
    outside = onnx.load(path, load_external_data=False)
    outside.graph.initializer[0].external_data[0].value = "../w.bin"
    path.write_bytes(outside.SerializeToString())
    with pytest.raises(ConfigError, match="outside of the model's folder"):
        file_bytes(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 50])
def test_cost_says_which_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(MeasureError, match=r"bad\.onnx: not an ONNX file"):
        complexity(path)
    with pytest.raises(MeasureError, match=r"absent\.onnx: cannot be read"):
        complexity(tmp_path / "absent.onnx")


def test_summary_lists_inputs_operators_and_versions(tmp_path: Path) -> None:
    found = summary(quantised_conv(tmp_path / "m.onnx"))
    assert found["inputs"] == ["x float [n, 4, 6, 6]"]
    assert found["outputs"] == ["y float [n, 8, 6, 6]"]
    assert found["ops"] == {"DequantizeLinear": 4, "QuantizeLinear": 2, "Conv": 1, "Relu": 1}
    assert (found["opset"], found["ir_version"]) == ({"ai.onnx": 17}, 8)


def test_cost_of_a_model_without_weights_is_nothing(tmp_path: Path) -> None:
    found = complexity(relu(tmp_path / "m.onnx", ["n", 3]))
    assert (found.macs, found.params, found.weight_bytes, found.nodes) == (0, 0, 0, ())


@pytest.mark.data
def test_cost_of_resnet20_is_what_its_layers_add_up_to() -> None:
    found = complexity(needs_data("teachers-cifar10/resnet20.onnx"))
    # 3x3 convolutions of 16, 32, 64 channels on 32, 16, 8 pixels; 3 stages of 3 blocks of 2.
    first = 32 * 32 * 9 * 3 * 16
    stages = 6 * 1024 * 9 * 16 * 16 + 5 * 256 * 9 * 32 * 32 + 5 * 64 * 9 * 64 * 64
    entries = 256 * 9 * 16 * 32 + 64 * 9 * 32 * 64
    assert found.macs == first + stages + entries + 64 * 10
    assert found.unknown == ()
    assert found.weight_bytes <= found.file_bytes


def test_weights_of_our_ops_are_where_their_schemas_say() -> None:
    assert set(ops.SIGNATURES) == set(stored.OURS)
    for op, skipped in stored.OURS.items():
        inputs = [str(v.name) for v in ops.body_of(op, ops.DOMAIN, 18, ops.Formula()).inputs]
        if op in WEIGHT_INPUT:
            assert inputs[WEIGHT_INPUT[op]] in ("w", "b", "indices")
        ends = ("scale", "scales", "zero_point", "table", "codebooks", "levels", "x_grid")
        assert skipped == {
            i
            for i, name in enumerate(inputs)
            if name.endswith(ends) and name != "norm_scale"  # a parameter of the float network
        }
