"""Where an ONNX teacher's logits, embedding and feature map are, found in the graph's structure.

Walked from the output backwards, along the one path that depends on the input:
- logits: the input of a final Softmax or Sigmoid; a LogSoftmax's output counts as logits.
- embedding: what enters the last Gemm or MatMul with stored weights, or the last Conv on a 1x1 map.
- feature map: what enters the pooling before it (global, over all spatial axes, or with a full-sized kernel), or a
  Flatten of a map. Channels last when the reduced axes do not end the shape.
Left alone: graphs that join two paths before any of these; a teacher then has no embedding or no feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

Activation = Literal["none", "sigmoid", "softmax"]

_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
_LINEAR = {"Gemm", "MatMul"}
_GLOBAL_POOLS = {"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"}
_REDUCTIONS = {"ReduceMax", "ReduceMean", "ReduceSum"}
_WINDOW_POOLS = {"AveragePool", "MaxPool"}
# Their other inputs say a shape or an axis, never data.
_RESHAPING = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
_ELEMENTWISE = {
    "Add",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Div",
    "Dropout",
    "Elu",
    "Gelu",
    "HardSwish",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "LogSoftmax",
    "Mul",
    "PRelu",
    "Relu",
    "Sub",
    "Tanh",
    "Transpose",
}


@dataclass(frozen=True)
class Taps:
    """Names of ONNX values. `channels_last`: the feature map is [n, h, w, c] or [n, t, c]."""

    logits: str
    embedding: str | None = None
    feature_map: str | None = None
    channels_last: bool = False


@dataclass(frozen=True)
class Step:
    """A node on the way back from the output, and the value through which the input reaches it."""

    node: onnx.NodeProto
    value: str


def activation(graph: onnx.GraphProto) -> tuple[Activation, str]:
    """The final activation, and the name of the value before it (the output itself when there is none)."""
    output = graph.output[0].name
    for step in _path(graph, output):
        if step.node.op_type in _ACTIVATIONS:
            return _ACTIVATIONS[step.node.op_type], step.value
        if step.node.op_type not in _RESHAPING | {"Identity", "Cast"}:
            break
    return "none", output


def candidates(graph: onnx.GraphProto, logits: str) -> list[Step]:
    """The path back from `logits`, at most to a node that joins two paths."""
    return list(_path(graph, logits))


def choose(
    graph: onnx.GraphProto, logits: str, path: list[Step], shapes: dict[str, tuple[int, ...]]
) -> Taps:
    """The taps, given the shapes that the values on `path` had in a run; one without a shape here is no tap."""
    embedding = feature_map = None
    channels_last = False
    for at, step in enumerate(path):
        op, shape = step.node.op_type, shapes.get(step.value, ())
        if op in _LINEAR or (op == "Conv" and _is_point(shape)):
            embedding = embedding or step.value
        elif (pooled := _pooled(graph, step, shapes)) is not None:
            feature_map, channels_last = _without_added_axes(path[at:], shapes), pooled
            break
        elif op not in _ELEMENTWISE | _RESHAPING:
            break
    if embedding is not None and not _is_vector(shapes.get(embedding, ())):
        embedding = None
    return Taps(logits, embedding, feature_map, channels_last)


def _without_added_axes(path: list[Step], shapes: dict[str, tuple[int, ...]]) -> str:
    """The map that enters the first node; before the axes of size 1 that exporters put into maps of signals."""
    value = path[0].value
    for step in path[1:]:
        before, after = shapes.get(step.value, ()), shapes.get(value, ())
        added = step.node.op_type in _RESHAPING and 3 <= len(before) < len(after)
        if not added or [d for d in before if d != 1] != [d for d in after if d != 1]:
            break
        value = step.value
    return value


def _pooled(graph: onnx.GraphProto, step: Step, shapes: dict[str, tuple[int, ...]]) -> bool | None:
    """Whether the map that this node pools has its channels last; None when the node pools no map."""
    before, after = shapes.get(step.value, ()), shapes.get(step.node.output[0], ())
    op = step.node.op_type
    if len(before) < 3 or _is_point(before):
        return None
    if op in _GLOBAL_POOLS or (op in _WINDOW_POOLS and _is_point(after)):
        return False
    if op in _REDUCTIONS:
        axes = sorted(a % len(before) for a in _axes(graph, step.node))
        if axes == list(range(2, len(before))):
            return False
        return True if axes == list(range(1, len(before) - 1)) else None
    if op in {"Flatten", "Reshape"} and len(after) == 2:
        return False
    return None


def _axes(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    if len(node.input) < 2:
        return []
    for tensor in graph.initializer:
        if tensor.name == node.input[1]:
            return [int(a) for a in numpy_helper.to_array(tensor).reshape(-1)]
    for other in graph.node:
        if other.op_type == "Constant" and other.output[0] == node.input[1]:
            for attribute in other.attribute:
                if attribute.name == "value":
                    return [int(a) for a in numpy_helper.to_array(attribute.t).reshape(-1)]
                return list(attribute.ints) or [attribute.i]
    return []


def _is_point(shape: tuple[int, ...]) -> bool:
    """[n, c, 1, 1] and its like."""
    return len(shape) >= 3 and all(d == 1 for d in shape[2:])


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 2 and all(d == 1 for d in shape[2:])


def _path(graph: onnx.GraphProto, start: str) -> Iterator[Step]:
    made_by = {name: node for node in graph.node for name in node.output}
    varying = _depends_on_input(graph)
    value = start
    while (node := made_by.get(value)) is not None:
        data = [i for i in node.input if i in varying]
        if node.op_type in _RESHAPING | _REDUCTIONS:
            data = [i for i in node.input[:1] if i in varying]
        if len(set(data)) != 1:
            return
        yield Step(node, data[0])
        value = data[0]


def _depends_on_input(graph: onnx.GraphProto) -> set[str]:
    stored = {t.name for t in graph.initializer}
    varying = {i.name for i in graph.input} - stored
    for node in graph.node:
        if any(i in varying for i in node.input):
            varying.update(node.output)
    return varying


def apply_activation(kind: Activation, logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, or Sigmoid, as the runtime computes it."""
    x = logits.astype(np.float64)
    if kind == "softmax":
        e = np.exp(x - x.max(-1, keepdims=True))
        return np.asarray(e / e.sum(-1, keepdims=True))
    return np.asarray(
        np.where(
            x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x)))
        )
        if kind == "sigmoid"
        else x
    )
