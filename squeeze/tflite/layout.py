"""Where the channels are: which values are stored channels last, decided once for the whole graph.

    spatial operators   Conv, pools, Resize, ...      their tensors are channels last
    the rest of them    Add, Relu, Concat, Pad, ...   take the layout of their neighbours
    all others          Reshape, MatMul, Softmax ...  have the order of the ONNX file

It is a wish: whoever reads a value in another order gets one TRANSPOSE of it, all readers the same one. A Transpose of
the ONNX file writes nothing; it only says in which order the stored tensor is to be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from squeeze.tflite.graph import Graph
from squeeze.tflite.node import Node

Axes = tuple[int, ...]

SPATIAL = frozenset(
    {
        "AveragePool",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "MaxPool",
        "Resize",
        "SpaceToDepth",
        "Upsample",
    }
)
# Operators that compute the same in any order of axes, as far as they keep the rank.
ANY_ORDER = frozenset(
    {
        "Abs",
        "Add",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Elu",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Sin",
        "Slice",
        "Split",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "Where",
    }
)


def plain(rank: int) -> Axes:
    return tuple(range(rank))


def channels_last(rank: int) -> Axes:
    """ONNX axes in their stored order: [n, c, h, w] is stored as [n, h, w, c]."""
    return (0, *range(2, rank), 1)


def keeps_order(axes: Axes, shape: Sequence[int]) -> bool:
    """Whether storing in this order moves nothing: only axes of one entry change their places."""
    moved = [axis for axis in axes if shape[axis] != 1]
    return moved == sorted(moved)


def keeps_channels(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether a Reshape leaves batch and channels alone: it does the same when they are last."""
    return len(before) >= 3 and len(after) >= 3 and tuple(before[:2]) == tuple(after[:2])


def wishes(graph: Graph) -> dict[str, Axes]:
    """The order of axes for each value that is to be channels last; all others are plain."""
    found: dict[str, Axes] = {}
    waiting: list[str] = []

    def wish(name: str) -> None:
        rank = len(graph.shapes.get(name, ()))
        if rank in (3, 4) and name not in found and name not in graph.constants:
            found[name] = channels_last(rank)
            waiting.append(name)

    for node in graph.nodes:
        if node.op in SPATIAL and not node.domain:
            wish(node.inputs[0])
            wish(node.outputs[0])
    while waiting:
        name = waiting.pop()
        near = [*graph.readers.get(name, ())]
        if name in graph.makers:
            near.append(graph.makers[name])
        for node in near:
            for other in _follows(graph, node, name):
                wish(other)
    return found


def _follows(graph: Graph, node: Node, name: str) -> list[str]:
    """Values around a node that are stored as `name` is."""
    if node.domain:
        return []
    if node.op == "Reshape":
        pair = [node.inputs[0], node.outputs[0]]
        shapes = [graph.shapes.get(one, ()) for one in pair]
        return pair if keeps_channels(*shapes) else []
    if node.op not in ANY_ORDER:
        return []
    rank = len(graph.shapes[name])
    return [one for one in (*node.inputs, *node.outputs) if len(graph.shapes.get(one, ())) == rank]
