"""Small ONNX files made by hand, whose costs and outputs can be worked out on paper."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.generic]
DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))
Dims = list[int | str]


def needs_data(path: str) -> Path:
    """The file below $SQUEEZE_DATA; the test is skipped when it is missing."""
    found = DATA / path
    if not found.is_file():
        pytest.skip(f"{found} is missing; set SQUEEZE_DATA")
    return found


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    x: Dims,
    y: Dims,
    weights: dict[str, Array] | None = None,
    *,
    x_type: int = TensorProto.FLOAT,
    y_type: int = TensorProto.FLOAT,
    functions: list[onnx.FunctionProto] | None = None,
    domains: tuple[str, ...] = (),
) -> Path:
    """A model with the input x and the output y at opset 17."""
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info("x", x_type, x)],
        [helper.make_tensor_value_info("y", y_type, y)],
        [numpy_helper.from_array(w, name) for name, w in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions or [])
    path.write_bytes(model.SerializeToString())
    return path


def linear(path: Path, inputs: int = 3, outputs: int = 2, batch: int | str = "n") -> Path:
    """y = x W + b with W[i, j] = i + j and b = 1: [n, inputs] -> [n, outputs]."""
    w = np.add.outer(np.arange(inputs), np.arange(outputs)).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="dense")
    weights: dict[str, Array] = {"w": w, "b": np.ones(outputs, np.float32)}
    return save(path, [node], [batch, inputs], [batch, outputs], weights)


def conv(
    path: Path,
    *,
    channels: int,
    filters: int,
    kernel: int,
    size: int,
    group: int = 1,
    stride: int = 1,
) -> Path:
    """One convolution with padding kernel // 2 and a bias: [n, channels, size, size]."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((filters, channels // group, kernel, kernel)).astype(np.float32)
    node = helper.make_node(
        "Conv",
        ["x", "w", "b"],
        ["y"],
        name="conv",
        group=group,
        strides=[stride, stride],
        pads=[kernel // 2] * 4,
    )
    weights: dict[str, Array] = {"w": w, "b": np.zeros(filters, np.float32)}
    return save(path, [node], ["n", channels, size, size], ["n", filters, "h", "w"], weights)


def relu(path: Path, dims: Dims) -> Path:
    """y = max(x, 0)."""
    return save(path, [helper.make_node("Relu", ["x"], ["y"], name="relu")], dims, dims)


def quantised_conv(path: Path) -> Path:
    """Q -> DQ -> Conv 4 to 8, 3x3 on 6x6 -> Relu -> Q -> DQ, uint8 activations, int8 weights per channel."""
    w = np.random.default_rng(0).integers(-127, 128, (8, 4, 3, 3)).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["y"]),
    ]
    weights: dict[str, Array] = {
        "s": np.float32(0.02),
        "z": np.uint8(0),
        "w": w,
        "ws": np.full(8, 0.01, np.float32),
        "wz": np.zeros(8, np.int8),
        "b": np.arange(8, dtype=np.int32),
        "bs": np.full(8, 0.0002, np.float32),
    }
    return save(path, nodes, ["n", 4, 6, 6], ["n", 8, 6, 6], weights)


def quantised_gemm(path: Path, *, name: str) -> Path:
    """Q -> DQ -> Gemm 16 to 10 -> a float output, int8 weights: what a classifier's last layer is."""
    w = np.random.default_rng(0).integers(-127, 128, (10, 16)).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"]),
        helper.make_node("Gemm", ["xd", "wd", "bd"], ["y"], name=name, transB=1),
    ]
    weights: dict[str, Array] = {
        "s": np.float32(0.02),
        "z": np.uint8(0),
        "w": w,
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        "b": np.arange(10, dtype=np.int32),
        "bs": np.float32(0.0002),
    }
    return save(path, nodes, ["n", 16], ["n", 10], weights)
