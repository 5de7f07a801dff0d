"""Arithmetic on sizes, done once the inputs' sizes are known: ONNX's own inference does not follow it everywhere.

Cases: nodes that compute small whole numbers from the shapes of values (torch's exporters cut tables of positions by
the length of a text so) become stored tensors, and what depends on them gets its shape. Left alone: what subgraphs
compute, and outputs of the graph.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

    Values = NDArray[Any]  # Any: whole numbers, or bools

_MOST_VALUES = 1024
_PASSES = 8  # sizes of sizes: each pass makes more shapes known
_ARITHMETIC = {
    *("Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Gather"),
    *("Identity", "Max", "Min", "Mul", "Range", "Reshape", "Slice", "Squeeze", "Sub", "Unsqueeze"),
    *("Where",),
}


def with_known_sizes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto`, whose inputs have fixed sizes, with the shapes that follow. Changes it. Raises as shape inference."""
    found = shape_inference.infer_shapes(proto, data_prop=True)
    for _ in range(_PASSES):
        if not _store(proto, _shapes(found.graph)):
            break
        found = shape_inference.infer_shapes(proto, data_prop=True)
    return found


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Of values all of whose sizes are known."""
    found = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found


def _store(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Puts stored tensors in place of nodes whose values are known, in place; whether there was any but constants."""
    graph, kept = proto.graph, {v.name for v in proto.graph.output}
    known = {t.name: numpy_helper.to_array(t) for t in graph.initializer if _is_small(t)}
    done = []
    for node in graph.node:
        if node.domain in ("", "ai.onnx") and not kept & set(node.output):
            values = _values(node, known, shapes, proto)
            if values is not None:
                known[node.output[0]] = values
                done.append(node)
    for node in done:
        graph.node.remove(node)
        graph.initializer.append(numpy_helper.from_array(known[node.output[0]], node.output[0]))
    # What a file says of them would go before what they are.
    names = {node.output[0] for node in done}
    stated = [value for value in graph.value_info if value.name not in names]
    del graph.value_info[:]
    graph.value_info.extend(stated)
    return any(node.op_type != "Constant" for node in done)


def _is_small(tensor: onnx.TensorProto) -> bool:
    """Whether it is whole numbers or bools, few and with their values."""
    held = tensor.raw_data or tensor.int64_data or tensor.int32_data or 0 in tensor.dims
    whole = tensor.data_type in (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
    return bool(whole and held and math.prod(tensor.dims) <= _MOST_VALUES)


def _values(
    node: onnx.NodeProto,
    known: Mapping[str, Values],
    shapes: Mapping[str, tuple[int, ...]],
    proto: onnx.ModelProto,
) -> Values | None:
    """What `node` gives, where that is small whole numbers that are known already."""
    if node.op_type == "Shape":
        shape = shapes.get(node.input[0])
        ends = {a.name: a.i for a in node.attribute}
        cut = slice(ends.get("start", 0), ends.get("end"))
        return None if shape is None else np.array(shape[cut], np.int64)
    named = [name for name in node.input if name]
    if node.op_type not in _ARITHMETIC or any(name not in known for name in named):
        return None
    if node.op_type == "Constant" and not any(_is_small(a.t) for a in node.attribute):
        return None
    taken = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in named]
    given = helper.make_tensor_value_info(node.output[0], TensorProto.UNDEFINED, None)
    graph = helper.make_graph([node], "size", taken, [given])
    alone = helper.make_model(graph, opset_imports=proto.opset_import)
    try:
        (found,) = ReferenceEvaluator(alone).run(None, {n: known[n] for n in named})
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return None  # a node that is wrong is no business of an account
    values = np.asarray(found)
    return values if values.size <= _MOST_VALUES and values.dtype.kind in "iub" else None
