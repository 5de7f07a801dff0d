"""Small networks for runtimes of others: float, with Q/DQ by ONNX Runtime's own quantiser, with an op of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tests.measure.models import save

Array = npt.NDArray[np.generic]
SHAPE = (3, 16, 16)


def images(count: int, seed: int = 3) -> Array:
    """[count, 3, 16, 16]."""
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float32)


def residual(path: Path, batch: int | str = "n", *extra: onnx.NodeProto) -> Path:
    """Conv - Relu - Conv - Relu - Add - pool - MatMul to y; with `extra` nodes the MatMul gives `logits` to them."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((16, 3, 3, 3)) / 5,
        "b1": rng.standard_normal(16) / 10,
        "w2": rng.standard_normal((16, 16, 3, 3)) / 12,
        "b2": rng.standard_normal(16) / 10,
        "w3": rng.standard_normal((16, 8)) / 4,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "conv1", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["r"], "relu1"),
        helper.make_node("Conv", ["r", "w2", "b2"], ["c"], "conv2", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"], "relu2"),
        helper.make_node("Add", ["d", "r"], ["e"], "add"),
        helper.make_node("GlobalAveragePool", ["e"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "w3"], ["logits" if extra else "y"], "dense"),
        *extra,
    ]
    arrays: dict[str, Array] = {name: w.astype(np.float32) for name, w in weights.items()}
    return save(path, nodes, [batch, *SHAPE], [batch, 8], arrays)


class _Images(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self) -> None:
        self.batches = iter(images(8, seed=1)[:, None])

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


def quantised(path: Path, model: Path, *, signed: bool = False) -> Path:
    """`model` with Q/DQ pairs: uint8 or int8 activations, int8 weights of 7 bits, which are exact on every CPU."""
    quantize_static(
        model,
        path,
        _Images(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    return path


def twice(path: Path) -> Path:
    """ai.squeeze::Twice, a local function whose body is x + x, behind a Relu."""
    body = helper.make_function(
        "ai.squeeze",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Twice", ["r"], ["y"], "twice", domain="ai.squeeze"),
    ]
    return save(path, nodes, ["n", 4], ["n", 4], functions=[body], domains=("ai.squeeze",))


def step_of(model: Path) -> float:
    """The scale of the last QuantizeLinear: one step of the output."""
    graph = onnx.load(model).graph
    last = next(n for n in reversed(graph.node) if n.op_type == "QuantizeLinear")
    scale = next(t for t in graph.initializer if t.name == last.input[1])
    return float(numpy_helper.to_array(scale).reshape(-1)[0])


def unknown_operator(path: Path) -> Path:
    """Det behind a Relu, of a matrix [3, 3]."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Det", ["r"], ["y"], "determinant"),
    ]
    return save(path, nodes, [3, 3], [], x_type=TensorProto.FLOAT)
