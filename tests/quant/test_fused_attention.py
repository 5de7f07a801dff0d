"""Attention that came fused is one op in 8 bits, with its masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper
from onnx.numpy_helper import from_array

from squeeze import quant
from squeeze import teacher as teachers
from squeeze.graph.lower import lower
from squeeze.graph.optimiser import optimise
from squeeze.spec import QuantPart
from tests.feeds import passes_of

LENGTH, HEADS, WIDTH = 6, 2, 16
PART = QuantPart(samples=64, observer="minmax", bias_correction=False, activation_products=True)


def normal(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def block() -> onnx.ModelProto:
    """Causal attention of x [n, t, width] with itself, between products with weights."""
    nodes = [helper.make_node("MatMul", ["x", f"w{name}"], [name]) for name in "qkv"]
    nodes += [
        helper.make_node("Cast", ["mask"], ["whole"], to=onnx.TensorProto.INT32),
        helper.make_node(
            *("MultiHeadAttention", ["q", "k", "v", "bias", "whole"], ["mixed"]),
            domain="com.microsoft",
            num_heads=HEADS,
            unidirectional=1,
        ),
        helper.make_node("MatMul", ["mixed", "wo"], ["y"]),
    ]
    tensors = [
        from_array(normal(WIDTH, WIDTH, seed=i) / 4, f"w{name}") for i, name in enumerate("qkvo")
    ]
    tensors.append(from_array(normal(3 * WIDTH, seed=5), "bias"))
    ends = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", "t", WIDTH]),
        helper.make_tensor_value_info("mask", onnx.TensorProto.BOOL, ["n", "t"]),
    ]
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", "t", WIDTH])
    graph = helper.make_graph(nodes, "net", ends, [out], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def test_causal_attention_with_a_mask_is_one_node(tmp_path: Path) -> None:
    onnx.save(block(), tmp_path / "net.onnx")
    mask = np.arange(LENGTH) < np.random.default_rng(6).integers(2, LENGTH + 1, (64, 1))
    data = {"x": normal(64, LENGTH, WIDTH, seed=9), "mask": mask}
    teacher = teachers.load(
        str(tmp_path / "net.onnx"), weights=None, example=data, folder=tmp_path / "teacher"
    )
    plain = ir.load(teacher.model)
    optimise(plain, {name: x[:1] for name, x in data.items()}, teacher.interface)
    passes = passes_of(plain, data, 16, teacher.interface)
    found = quant.quantize(plain, passes, activations="uint8", part=PART, reduce_range=True).model
    counts = Counter(node.op_type for node in lower(found)[0].graph)
    assert counts["QAttention"] == 1
    assert not counts.keys() & {"Reshape", "Softmax", "Transpose"}
