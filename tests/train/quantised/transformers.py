"""Small transformers as ONNX graphs: a text encoder of two inputs with shapes that it computes, and one of pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from squeeze import graph, runtimes
from tests.graph.small import Array, floats, node

WIDTH, HEADS, WORDS, LENGTH, PIXELS, CLASSES = 16, 2, 30, 12, 8, 5
EACH = WIDTH // HEADS


def encoder() -> ir.Model:
    """ids and mask [n, s] -> an embedding [n, WIDTH] of length 1."""
    nodes = [
        node("Shape", ["mask"], ["count"], start=0, end=1),
        node("Shape", ["mask"], ["length"], start=1, end=2),
        node("Squeeze", ["length"], ["last"]),
        node("Cast", ["mask"], ["real"], to=TensorProto.FLOAT),
        node("Range", ["zero", "last", "one"], ["places"]),
        node("Gather", ["words", "ids"], ["word"]),
        node("Gather", ["positions", "places"], ["position"]),
        node("Unsqueeze", ["position", "axis_0"], ["positioned"]),
        node("Add", ["word", "positioned"], ["sum"]),
        node("LayerNormalization", ["sum", "g0", "b0"], ["h0"]),
        node("Equal", ["mask", "zero"], ["absent"]),
        node("Where", ["absent", "lowest", "nothing"], ["hidden"]),
        node("Unsqueeze", ["hidden", "axes_12"], ["bias"]),
        node("Concat", ["count", "length", "heads", "each"], ["apart"], axis=0),
        node("Concat", ["count", "length", "width"], ["together"], axis=0),
        *_layer("h0", "h1", "apart", "together", bias="bias"),
        node("Unsqueeze", ["real", "axis_2"], ["counted"]),
        node("Mul", ["h1", "counted"], ["kept"]),
        node("ReduceSum", ["kept", "axis_1"], ["total"], keepdims=0),
        node("ReduceSum", ["real", "axis_1"], ["number"], keepdims=1),
        node("Clip", ["number", "least"], ["some"]),
        node("Div", ["total", "some"], ["mean"]),
        node("ReduceL2", ["mean", "axis_1"], ["norm"], keepdims=1),
        node("Concat", ["count", "width"], ["whole"], axis=0),
        node("Expand", ["norm", "whole"], ["norms"]),
        node("Div", ["mean", "norms"], ["y"]),
    ]
    constants = {
        **_weights(),
        "words": floats(WORDS, WIDTH, seed=1),
        "positions": floats(LENGTH, WIDTH, seed=2),
        "zero": np.array(0),
        "one": np.array(1),
        "lowest": np.float32(-1e4),
        "nothing": np.float32(0),
        "least": np.float32(1e-9),
        "heads": np.array([HEADS]),
        "each": np.array([EACH]),
        "width": np.array([WIDTH]),
        "axes_12": np.array([1, 2]),
        **{f"axis_{i}": np.array([i]) for i in range(3)},
    }
    tokens = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "s"]) for n in ("ids", "mask")
    ]
    return _model(nodes, constants, tokens, WIDTH)


def vision() -> ir.Model:
    """pixels [n, 3, PIXELS, PIXELS] -> logits [n, CLASSES], read off a token of its own."""
    nodes = [
        node("Conv", ["x", "patches"], ["map"], strides=[4, 4]),
        node("Shape", ["map"], ["count"], start=0, end=1),
        node("Reshape", ["map", "flat"], ["rows"]),
        node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        node("Concat", ["count", "one", "width"], ["own_shape"], axis=0),
        node("Expand", ["own", "own_shape"], ["owns"]),
        node("Concat", ["owns", "tokens"], ["all"], axis=1),
        node("Add", ["all", "positions"], ["placed"]),
        node("LayerNormalization", ["placed", "g0", "b0"], ["h0"]),
        *_layer("h0", "h1", "apart", "together"),
        node("Gather", ["h1", "first"], ["read"], axis=1),
        node("Gemm", ["read", "head", "head_bias"], ["y"], transB=1),
    ]
    constants = {
        **_weights(),
        "patches": floats(WIDTH, 3, 4, 4, seed=1) / 7,
        "own": floats(1, 1, WIDTH, seed=2),
        "positions": floats(1, 5, WIDTH, seed=3),
        "flat": np.array([0, WIDTH, -1]),
        "apart": np.array([0, 5, HEADS, EACH]),
        "together": np.array([0, 5, WIDTH]),
        "one": np.array([1]),
        "width": np.array([WIDTH]),
        "first": np.array(0),
        "head": floats(CLASSES, WIDTH, seed=4) / 4,
        "head_bias": floats(CLASSES, seed=5),
    }
    shape = ["batch", 3, PIXELS, PIXELS]
    pixels = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    return _model(nodes, constants, pixels, CLASSES)


def texts(count: int, seed: int = 0) -> dict[str, Array]:
    """Tokens of 3 to LENGTH - 2, filled up with 0."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, LENGTH - 1, count)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)
    return {"ids": random.integers(1, WORDS, (count, LENGTH)) * mask, "mask": mask}


def images(count: int, seed: int = 0) -> dict[str, Array]:
    """Normal numbers."""
    return {"x": floats(count, 3, PIXELS, PIXELS, seed=seed)}


def run(model: ir.Model, feed: Mapping[str, Array]) -> Array:
    """What ONNX Runtime computes, with its optimisations."""
    return np.asarray(runtimes.session(graph.to_bytes(model)).run(None, dict(feed))[0])


def tensors(feed: Mapping[str, Array]) -> Tensor | dict[str, Tensor]:
    """As networks take them: an only input is a tensor."""
    found = {name: torch.from_numpy(x) for name, x in feed.items()}
    return found if len(found) > 1 else next(iter(found.values()))


def _layer(
    x: str, y: str, apart: str, together: str, bias: str | None = None
) -> list[onnx.NodeProto]:
    """Attention and what follows it, normalised last, as BERT has them."""
    nodes = []
    for one in "qkv":
        nodes += [
            node("MatMul", [x, f"w{one}"], [f"{one}0"]),
            node("Add", [f"{one}0", f"b{one}"], [f"{one}1"]),
            node("Reshape", [f"{one}1", apart], [f"{one}2"]),
            node(
                "Transpose", [f"{one}2"], [one], perm=[0, 2, 3, 1] if one == "k" else [0, 2, 1, 3]
            ),
        ]
    nodes += [node("MatMul", ["q", "k"], ["raw"]), node("Div", ["raw", "root"], ["scores"])]
    nodes += [node("Add", ["scores", bias], ["masked"])] if bias else []
    return [
        *nodes,
        node("Softmax", ["masked" if bias else "scores"], ["shares"]),
        node("MatMul", ["shares", "v"], ["mixed"]),
        node("Transpose", ["mixed"], ["beside"], perm=[0, 2, 1, 3]),
        node("Reshape", ["beside", together], ["joined"]),
        node("MatMul", ["joined", "wo"], ["o0"]),
        node("Add", ["o0", "bo"], ["o1"]),
        node("Add", [x, "o1"], ["residual"]),
        node("LayerNormalization", ["residual", "g1", "b1"], ["n1"]),
        node("MatMul", ["n1", "wu"], ["u0"]),
        node("Add", ["u0", "bu"], ["u1"]),
        node("Div", ["u1", "root_2"], ["u2"]),
        node("Erf", ["u2"], ["u3"]),
        node("Add", ["u3", "unit"], ["u4"]),
        node("Mul", ["half", "u4"], ["u5"]),
        node("Mul", ["u1", "u5"], ["gelu"]),
        node("MatMul", ["gelu", "wd"], ["d0"]),
        node("Add", ["d0", "bd"], ["d1"]),
        node("Add", ["n1", "d1"], ["residual_2"]),
        node("LayerNormalization", ["residual_2", "g2", "b2"], [y]),
    ]


def _weights() -> dict[str, Array]:
    wide = 2 * WIDTH
    sizes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH)}
    sizes |= {"u": (WIDTH, wide), "d": (wide, WIDTH)}
    found: dict[str, Array] = {}
    for i, (name, (inputs, outputs)) in enumerate(sizes.items()):
        found[f"w{name}"] = floats(inputs, outputs, seed=10 + i) / np.float32(inputs**0.5)
        found[f"b{name}"] = floats(outputs, seed=20 + i) / 5
    for i in range(3):
        found[f"g{i}"] = 1 + floats(WIDTH, seed=30 + i) / 10
        found[f"b{i}"] = floats(WIDTH, seed=40 + i) / 10
    roots = {"root": EACH**0.5, "root_2": 2**0.5, "unit": 1.0, "half": 0.5}
    return found | {name: np.float32(value) for name, value in roots.items()}


def _model(
    nodes: list[onnx.NodeProto],
    constants: Mapping[str, Array],
    inputs: list[onnx.ValueInfoProto],
    outputs: int,
) -> ir.Model:
    made = helper.make_graph(
        nodes,
        "transformer",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto, data_prop=True))
