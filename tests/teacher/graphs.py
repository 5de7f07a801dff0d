"""ONNX graphs under construction, saved, and run as they are by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def value(
    name: str, shape: list[int | str | None] | None, kind: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    tensors: dict[str, np.ndarray],
    *,
    opset: int = 17,
    libraries: tuple[str, ...] = (),
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(t, n) for n, t in tensors.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in libraries)]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    made.ir_version = 8
    return made


def saved(made: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def run(path: Path, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of the file by its name."""
    session = ort.InferenceSession(path)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(tensors)), strict=True))


def types(path: Path) -> dict[str, str]:
    """Names and types of the inputs and outputs, as the runtime states them."""
    session = ort.InferenceSession(path)
    return {v.name: v.type for v in (*session.get_inputs(), *session.get_outputs())}


def shapes(path: Path) -> dict[str, list[int | str]]:
    """The same with their shapes."""
    session = ort.InferenceSession(path)
    return {v.name: v.shape for v in (*session.get_inputs(), *session.get_outputs())}
