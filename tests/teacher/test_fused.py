"""Nodes that the runtime fuses are taken apart: each compared with the runtime's own kernel on random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from onnx.numpy_helper import from_array

from squeeze import teacher as teachers

SAMPLES, TOKENS, WIDTH, HEADS = 3, 7, 12, 3


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + len(shape)).standard_normal(shape).astype(np.float32)


def scale() -> np.ndarray:
    return normal(WIDTH, seed=3) + 2


X, SKIP = normal(SAMPLES, TOKENS, WIDTH), normal(SAMPLES, TOKENS, WIDTH, seed=9)
IMAGE = normal(SAMPLES, 2, 8, 8)
IDS = np.random.default_rng(1).integers(0, 9, (SAMPLES, TOKENS)).astype(np.int32)
TYPES = np.random.default_rng(2).integers(0, 2, (SAMPLES, TOKENS)).astype(np.int32)
MASK = (np.arange(TOKENS) < np.array([[7], [4], [1]])).astype(np.int32)
HOLES = np.random.default_rng(3).integers(0, 2, (SAMPLES, TOKENS)).astype(np.int32)
TABLES = {"words": normal(9, WIDTH), "places": normal(TOKENS + 40, WIDTH), "rows": normal(2, WIDTH)}
NORM = {"gamma": scale(), "beta": normal(WIDTH, seed=4)}
QKV = {"w": normal(WIDTH, 3 * WIDTH), "b": normal(3 * WIDTH, seed=5)}
UNEVEN = {"w": normal(WIDTH, 2 * WIDTH + 6), "b": normal(2 * WIDTH + 6, seed=5)}

# What the node is called, its inputs in order ("" for one left out), its attributes.
Case = tuple[str, dict[str, np.ndarray], dict[str, np.ndarray], list[str], dict[str, Any]]
CASES: dict[str, Case] = {
    "Attention": ("Attention", {"x": X}, QKV, ["x", "w", "b"], {"num_heads": HEADS}),
    "Attention-lengths": (
        "Attention",
        {"x": X, "lengths": MASK.sum(1).astype(np.int32)},
        QKV,
        ["x", "w", "b", "lengths"],
        {"num_heads": HEADS},
    ),
    "Attention-mask": (
        "Attention",
        {"x": X, "mask": MASK},
        QKV,
        ["x", "w", "b", "mask"],
        {"num_heads": HEADS, "mask_filter_value": -3.0, "scale": 0.7},
    ),
    "Attention-mask-with-holes": (
        "Attention",
        {"x": X, "mask": HOLES},
        QKV,
        ["x", "w", "b", "mask"],
        {"num_heads": HEADS},
    ),
    "Attention-uneven": (
        "Attention",
        {"x": X},
        UNEVEN,
        ["x", "w", "b"],
        {"num_heads": HEADS, "qkv_hidden_sizes": [WIDTH, WIDTH, 6]},
    ),
    "BiasGelu": ("BiasGelu", {"x": X}, {"b": normal(WIDTH)}, ["x", "b"], {}),
    "FastGelu": ("FastGelu", {"x": X}, {}, ["x"], {}),
    "FastGelu-bias": ("FastGelu", {"x": X}, {"b": normal(WIDTH)}, ["x", "b"], {}),
    "FusedConv": (
        "FusedConv",
        {"image": IMAGE, "z": normal(SAMPLES, 5, 4, 4, seed=2)},
        {"kernel": normal(5, 2, 3, 3), "b": normal(5)},
        ["image", "kernel", "b", "z"],
        {"activation": "Relu", "pads": [1, 1, 1, 1], "strides": [2, 2]},
    ),
    "FusedConv-clip": (
        "FusedConv",
        {"image": IMAGE},
        {"kernel": normal(4, 1, 3, 3)},
        ["image", "kernel"],
        {"activation": "Clip", "activation_params": [-0.5, 2.0], "group": 2},
    ),
    "FusedGemm": (
        "FusedGemm",
        {"row": X[:, 0]},
        {"w": normal(5, WIDTH), "b": normal(5)},
        ["row", "w", "b"],
        {"activation": "LeakyRelu", "activation_alpha": 0.2, "alpha": 0.7, "transB": 1},
    ),
    "FusedGemm-tanh": (
        "FusedGemm",
        {"row": X[:, 0]},
        {"w": normal(WIDTH, 5), "b": normal(5)},
        ["row", "w", "b"],
        {"activation": "Tanh", "beta": 0.3},
    ),
    "FusedMatMul": (
        "FusedMatMul",
        {"x": X, "z": SKIP},
        {},
        ["x", "z"],
        {"transB": 1, "alpha": 0.3},
    ),
    "FusedMatMul-A": ("FusedMatMul", {"x": X, "z": SKIP}, {}, ["x", "z"], {"transA": 1}),
    "Gelu": ("Gelu", {"x": X}, {}, ["x"], {}),
    "QuickGelu": ("QuickGelu", {"x": X}, {}, ["x"], {}),
    "QuickGelu-alpha": ("QuickGelu", {"x": X}, {}, ["x"], {"alpha": 0.9}),
    "SimplifiedLayerNormalization": (
        "SimplifiedLayerNormalization",
        {"x": X},
        NORM,
        ["x", "gamma"],
        {"epsilon": 0.1},
    ),
    "SkipLayerNormalization": (
        "SkipLayerNormalization",
        {"x": X, "z": SKIP},
        NORM,
        ["x", "z", "gamma", "beta"],
        {"epsilon": 0.1},
    ),
    "SkipLayerNormalization-bias": (
        "SkipLayerNormalization",
        {"x": X, "z": SKIP},
        {**NORM, "b": normal(WIDTH)},
        ["x", "z", "gamma", "", "b"],
        {},
    ),
    "SkipSimplifiedLayerNormalization": (
        "SkipSimplifiedLayerNormalization",
        {"x": X, "z": SKIP},
        {**NORM, "b": normal(WIDTH)},
        ["x", "z", "gamma", "b"],
        {"epsilon": 0.1},
    ),
    "EmbedLayerNormalization": (
        "EmbedLayerNormalization",
        {"ids": IDS, "types": TYPES},
        {**TABLES, **NORM},
        ["ids", "types", "words", "places", "rows", "gamma", "beta"],
        {"epsilon": 0.1},
    ),
    "EmbedLayerNormalization-without-types": (
        "EmbedLayerNormalization",
        {"ids": IDS, "at": np.flip(np.tile(np.arange(TOKENS, dtype=np.int32), (SAMPLES, 1)), 1)},
        {**TABLES, **NORM},
        ["ids", "", "words", "places", "", "gamma", "beta", "", "at"],
        {},
    ),
    "LayerNormalization-opset-13": (
        "LayerNormalization",
        {"x": X},
        NORM,
        ["x", "gamma", "beta"],
        {"epsilon": 0.1},
    ),
}
STANDARD = ("LayerNormalization", "SimplifiedLayerNormalization")


def graph(
    nodes: list[onnx.NodeProto],
    feed: dict[str, np.ndarray],
    stored: dict[str, np.ndarray],
    outputs: dict[str, int],
    *,
    opset: int = 13,
) -> onnx.ModelProto:
    """Inputs [batch, sequence, ...]; outputs: name -> element type."""
    inputs = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(x.dtype),
            ["batch", "sequence" if x.ndim < 4 and name != "row" else x.shape[1], *x.shape[2:]][
                : x.ndim
            ],
        )
        for name, x in feed.items()
    ]
    read = {name for node in nodes for name in node.input}
    tensors = [from_array(x, name) for name, x in stored.items() if name in read]
    given = [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()]
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_graph(nodes, "net", inputs, given, tensors)
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def run(model: Path, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return [np.asarray(x) for x in session.run(outputs, feed)]


def domains(model: Path) -> set[str]:
    return {node.domain for node in onnx.load(model).graph.node}


def adopted(model: onnx.ModelProto, feed: dict[str, np.ndarray], folder: Path) -> teachers.Teacher:
    onnx.save(model, folder / "net.onnx")
    return teachers.load(
        str(folder / "net.onnx"), weights=None, example=feed, folder=folder / "teacher"
    )


@pytest.mark.parametrize("case", CASES)
def test_fused_node_is_taken_apart(tmp_path: Path, case: str) -> None:
    op, feed, stored, inputs, attributes = CASES[case]
    domain = "" if op in STANDARD else "com.microsoft"
    outputs = ["y", "lengths"] if op.startswith("Embed") else ["y"]
    node = helper.make_node(op, inputs, outputs, "fused", domain=domain, **attributes)
    teacher = adopted(graph([node], feed, stored, {"y": onnx.TensorProto.FLOAT}), feed, tmp_path)
    assert domains(teacher.model) == {""}
    assert teacher.changes == (
        f"1 of 1 fused nodes ({op}) taken apart into standard ones, opset 13 converted to 20",
    )
    (wanted,) = run(tmp_path / "net.onnx", feed, ["y"])
    (got,) = run(teacher.model, feed, ["y"])
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_sizes_stay_free_behind_fused_nodes(tmp_path: Path) -> None:
    """An encoder's first nodes: the lengths that one gives are the mask that the next reads."""
    nodes = [
        helper.make_node(
            "EmbedLayerNormalization",
            ["ids", "types", *TABLES, *NORM, "mask"],
            ["e", "lengths"],
            domain="com.microsoft",
        ),
        helper.make_node(
            "Attention", ["e", "w", "b", "lengths"], ["a"], domain="com.microsoft", num_heads=HEADS
        ),
        helper.make_node(
            "SkipLayerNormalization",
            ["a", "e", "gamma", "beta", "shift"],
            ["y", "", "", "residual"],
            domain="com.microsoft",
        ),
    ]
    stored = {**TABLES, **NORM, **QKV, "shift": normal(WIDTH, seed=8)}
    feed = {"ids": IDS, "types": TYPES, "mask": MASK}
    kinds = dict.fromkeys(("y", "residual"), onnx.TensorProto.FLOAT)
    teacher = adopted(graph(nodes, feed, stored, kinds), feed, tmp_path)
    assert domains(teacher.model) == {""}
    assert set(teacher.interface.free) == {"sequence"}
    assert teacher.macs > TOKENS * 3 * WIDTH * WIDTH
    for tokens in (TOKENS, TOKENS + 5, 2):
        index = np.arange(tokens) % TOKENS
        other = {name: np.ascontiguousarray(x[:, index]) for name, x in feed.items()}
        if tokens > TOKENS:
            other["mask"][:, TOKENS:] = 0
        wanted = run(tmp_path / "net.onnx", other, ["y", "residual"])
        got = run(teacher.model, other, ["y", "residual"])
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_fused_nodes_of_half_precision_are_taken_apart(tmp_path: Path) -> None:
    norm = {name: x.astype(np.float16) for name, x in NORM.items()}
    feed = {"x": X.astype(np.float16), "z": SKIP.astype(np.float16)}
    node = helper.make_node(
        "SkipLayerNormalization", [*feed, *norm], ["y"], domain="com.microsoft", epsilon=0.1
    )
    model = graph([node], feed, norm, {"y": onnx.TensorProto.FLOAT16})
    teacher = adopted(model, feed, tmp_path)
    assert domains(teacher.model) == {""}
    (wanted,) = run(tmp_path / "net.onnx", feed, ["y"])
    (got,) = run(teacher.model, feed, ["y"])
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, wanted, atol=2e-2)
