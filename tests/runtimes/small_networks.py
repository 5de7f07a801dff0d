"""A small classifier, float and int8, for runtimes that are held to ONNX Runtime on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIZE, CLASSES = 8, 8, 5
INPUT_SCALE, MIDDLE_SCALE, POOLED_SCALE, SCORE_SCALE = 0.02, 0.03, 0.01, 0.02
# Two products with uint8 fit 16 bits: the runtime is the truth here also on x86 without VNNI, where more saturates.
OF_SEVEN_BITS = 63


def samples(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def float_network(path: Path, batch: int | str = "batch") -> Path:
    """x [batch, 3, 8, 8] -> Conv, Relu, mean over the image, Gemm -> y [batch, 5]."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "mean"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v", "d"], ["y"], "last", transB=1),
    ]
    return _saved(path, nodes, _weights(), batch)


def int8_network(path: Path, batch: int | str = "batch", activations: str = "uint8") -> Path:
    """The same with Q/DQ: activations of that type, int8 weights of seven bits with a scale a
    channel, int32 biases."""
    zero = np.array(128 if activations == "uint8" else 0, activations)
    first_zero = np.array(0 if activations == "uint8" else -128, activations)  # behind Relu
    weights = _weights()
    constants: dict[str, NDArray[np.generic]] = {}
    nodes: list[onnx.NodeProto] = []

    def through(name: str, scale: float, zero_point: NDArray[np.generic]) -> str:
        constants[f"{name}_s"], constants[f"{name}_z"] = np.float32(scale), zero_point  # type: ignore[assignment]
        ends = [f"{name}_s", f"{name}_z"]
        nodes.append(helper.make_node("QuantizeLinear", [name, *ends], [f"{name}_q"], f"{name}/q"))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", *ends], [f"{name}_d"], f"{name}/d")
        )
        return f"{name}_d"

    def constant(name: str, scale: NDArray[np.float32], dtype: str) -> str:
        shaped = scale.reshape(-1, *[1] * (weights[name].ndim - 1))
        limits = np.iinfo(dtype)
        constants[f"{name}_q"] = np.clip(
            np.round(weights[name] / shaped), limits.min, limits.max
        ).astype(dtype)
        constants[f"{name}_s"], constants[f"{name}_z"] = scale, np.zeros(len(scale), dtype)
        ends = [f"{name}_s", f"{name}_z"]
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [f"{name}_q", *ends], [f"{name}_d"], f"{name}/d", axis=0
            )
        )
        return f"{name}_d"

    w_scale = (np.abs(weights["w"]).max(axis=(1, 2, 3)) / OF_SEVEN_BITS).astype(np.float32)
    v_scale = (np.abs(weights["v"]).max(axis=1) / OF_SEVEN_BITS).astype(np.float32)
    x = through("x", INPUT_SCALE, zero)
    w, b = constant("w", w_scale, "int8"), constant("b", w_scale * np.float32(INPUT_SCALE), "int32")
    nodes.append(helper.make_node("Conv", [x, w, b], ["c"], "first", pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("Relu", ["c"], ["r"], "relu"))
    r = through("r", MIDDLE_SCALE, first_zero)
    nodes.append(helper.make_node("GlobalAveragePool", [r], ["p"], "mean"))
    p = through("p", POOLED_SCALE, first_zero)
    nodes.append(helper.make_node("Flatten", [p], ["f"], "flat"))
    f = through("f", POOLED_SCALE, first_zero)
    v = constant("v", v_scale, "int8")
    d = constant("d", v_scale * np.float32(POOLED_SCALE), "int32")
    nodes.append(helper.make_node("Gemm", [f, v, d], ["s"], "last", transB=1))
    y = through("s", SCORE_SCALE, zero)
    nodes.append(helper.make_node("Identity", [y], ["y"], "scores"))
    return _saved(path, nodes, constants, batch)


def _weights() -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(7)
    return {
        "w": (rng.normal(size=(CHANNELS, 3, 3, 3)) / 5).astype(np.float32),
        "b": (rng.normal(size=CHANNELS) / 5).astype(np.float32),
        "v": rng.normal(size=(CLASSES, CHANNELS)).astype(np.float32),
        "d": (rng.normal(size=CLASSES) / 5).astype(np.float32),
    }


def _saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    batch: int | str,
) -> Path:
    image, scores = [batch, 3, SIZE, SIZE], [batch, CLASSES]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, scores)],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
