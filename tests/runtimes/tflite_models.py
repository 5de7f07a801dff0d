"""Small ONNX files for the runtimes of .tflite files: a convolution, its average and a matrix, in float and in int8.

    x [n, 3, 16, 16] -> Conv 3x3, 8 channels -> Relu -> features [n, 8, 16, 16] -> average -> Gemm -> y [n, 5]

int8: Q and DQ around each operator as quantisers write them, with scales chosen by hand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

SIDE, CHANNELS, CLASSES = 16, 8, 5
Y_SCALE = np.float32(0.04)

_RNG = np.random.default_rng(7)
CONV_WEIGHTS = _RNG.integers(-127, 128, (CHANNELS, 3, 3, 3)).astype(np.int8)
CONV_SCALES = _RNG.uniform(0.001, 0.003, CHANNELS).astype(np.float32)
CONV_BIAS = _RNG.integers(-300, 300, CHANNELS).astype(np.int32)
GEMM_WEIGHTS = _RNG.integers(-127, 128, (CLASSES, CHANNELS)).astype(np.int8)
GEMM_SCALES = _RNG.uniform(0.005, 0.01, CLASSES).astype(np.float32)
GEMM_BIAS = _RNG.integers(-100, 100, CLASSES).astype(np.int32)
X_SCALE, F_SCALE, P_SCALE = np.float32(0.03), np.float32(0.012), np.float32(0.004)


def samples(count: int) -> np.ndarray:
    """Noise of more and more contrast and brightness."""
    noise = np.random.default_rng(count).standard_normal((count, 3, SIDE, SIDE))
    place = np.linspace(-1, 1, count)[:, None, None, None]
    return (noise * (1.1 + place) + place).astype(np.float32)


def float_net(path: Path) -> Path:
    """With two outputs, of which one has channels."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["features"], "relu"),
        *_head("features"),
    ]
    conv = CONV_WEIGHTS * CONV_SCALES[:, None, None, None]
    gemm = GEMM_WEIGHTS * GEMM_SCALES[:, None]
    constants = {
        "w": conv.astype(np.float32),
        "b": np.linspace(-0.2, 0.2, CHANNELS, dtype=np.float32),
        "v": gemm.astype(np.float32),
        "a": np.linspace(-1, 1, CLASSES, dtype=np.float32),
    }
    return _saved(path, nodes, constants, {"y": [CLASSES], "features": [CHANNELS, SIDE, SIDE]})


def int8_net(path: Path) -> Path:
    nodes = [*_int8_body(), *_pair("g", "gq", "p", "p"), *_int8_gemm(), *_pair("o", "oq", "y", "y")]
    return _saved(path, nodes, _int8_constants(), {"y": [CLASSES]})


def float_tail_net(path: Path) -> Path:
    """The convolution is int8, the Gemm behind it float."""
    nodes = [
        *_int8_body(),
        helper.make_node("Gemm", ["g", "v", "a"], ["y"], "classify", transB=1),
    ]
    constants = _int8_constants()
    constants["v"] = (GEMM_WEIGHTS * GEMM_SCALES[:, None]).astype(np.float32)
    constants["a"] = np.linspace(-1, 1, CLASSES, dtype=np.float32)
    return _saved(path, nodes, constants, {"y": [CLASSES]})


def refused_net(path: Path) -> Path:
    """With an operator that no .tflite file has."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Det", ["c"], ["y"], "volume"),
    ]
    constants = {"w": np.ones((8, 3, 3, 3), np.float32), "b": np.zeros(8, np.float32)}
    return _saved(path, nodes, constants, {"y": [CHANNELS]})


def bytes_net(path: Path, kind: int, *behind: onnx.NodeProto) -> Path:
    """x, bytes [n, 2, 4, 4], as floats f, and `behind` them y; constants are scale and zero of int8, and half."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Cast", ["x"], ["f"], "cast", to=TensorProto.FLOAT), *behind]
    zero = -128 if kind == TensorProto.UINT8 else 0
    constants = {"scale": np.float32(1), "zero": np.int8(zero), "half": np.float32(0.5)}
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", kind, ["n", 2, 4, 4])],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(made), path)
    return path


def reference(path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """By ONNX Runtime as the operators are defined: of int8 activations its own fusions are up to five steps off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def _head(features: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("GlobalAveragePool", [features], ["m"], "average"),
        helper.make_node("Flatten", ["m"], ["g"], "flatten"),
        helper.make_node("Gemm", ["g", "v", "a"], ["y"], "classify", transB=1),
    ]


def _int8_body() -> list[onnx.NodeProto]:
    return [
        *_pair("x", "xq", "xd", "x"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "wd", axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], "bd", axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        *_pair("r", "rq", "rd", "r"),
        helper.make_node("GlobalAveragePool", ["rd"], ["m"], "average"),
        *_pair("m", "mq", "md", "p"),
        helper.make_node("Flatten", ["md"], ["g"], "flatten"),
    ]


def _int8_gemm() -> list[onnx.NodeProto]:
    return [
        helper.make_node("DequantizeLinear", ["v", "vs", "vz"], ["vd"], "vd", axis=0),
        helper.make_node("DequantizeLinear", ["a", "as", "az"], ["ad"], "ad", axis=0),
        helper.make_node("Gemm", ["p", "vd", "ad"], ["o"], "classify", transB=1),
    ]


def _pair(given: str, codes: str, taken: str, scale: str) -> list[onnx.NodeProto]:
    """Q and DQ by the constants <scale>_scale and <scale>_zero."""
    by = [f"{scale}_scale", f"{scale}_zero"]
    return [
        helper.make_node("QuantizeLinear", [given, *by], [codes], f"quantise {given}"),
        helper.make_node("DequantizeLinear", [codes, *by], [taken], f"dequantise {codes}"),
    ]


def _int8_constants() -> dict[str, np.ndarray]:
    activations = {
        "x": (X_SCALE, 5),
        "r": (F_SCALE, -128),
        "p": (P_SCALE, -128),
        "y": (Y_SCALE, -3),
    }
    constants: dict[str, np.ndarray] = {}
    for name, (scale, zero) in activations.items():
        constants[f"{name}_scale"] = np.float32(scale)
        constants[f"{name}_zero"] = np.int8(zero)
    return constants | {
        "w": CONV_WEIGHTS,
        "ws": CONV_SCALES,
        "wz": np.zeros(CHANNELS, np.int8),
        "b": CONV_BIAS,
        "bs": X_SCALE * CONV_SCALES,
        "bz": np.zeros(CHANNELS, np.int32),
        "v": GEMM_WEIGHTS,
        "vs": GEMM_SCALES,
        "vz": np.zeros(CLASSES, np.int8),
        "a": GEMM_BIAS,
        "as": P_SCALE * GEMM_SCALES,
        "az": np.zeros(CLASSES, np.int32),
    }


def _saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    outputs: dict[str, list[int]],
) -> Path:
    """With the constants that the nodes use."""
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
            for name, shape in outputs.items()
        ],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
