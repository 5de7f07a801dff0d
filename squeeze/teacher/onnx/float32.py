"""Turns the float16, bfloat16 and double numbers of an ONNX graph into float32: tensors, casts, declared types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from squeeze.teacher.onnx.external import all_nodes, all_tensors

if TYPE_CHECKING:
    import onnx

_OTHER_FLOATS = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
# Attributes whose value is an element type, by operator.
_TYPE_ATTRIBUTES = {
    "Bernoulli": "dtype",
    "Cast": "to",
    "EyeLike": "dtype",
    "RandomNormal": "dtype",
    "RandomNormalLike": "dtype",
    "RandomUniform": "dtype",
    "RandomUniformLike": "dtype",
    "SequenceEmpty": "dtype",
}


def to_float32(model: onnx.ModelProto) -> bool:
    """Changes `model` in place; whether anything was another float."""
    changed = False
    for tensor in all_tensors(model):
        if tensor.data_type in _OTHER_FLOATS:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            changed = True
    for node in all_nodes(model.graph):
        wanted = _TYPE_ATTRIBUTES.get(node.op_type)
        for attribute in node.attribute:
            if attribute.name == wanted and attribute.i in _OTHER_FLOATS:
                attribute.i = TensorProto.FLOAT
                changed = True
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type in _OTHER_FLOATS:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            changed = True
    if changed:
        _forget_types(model.graph)
    return changed


def _forget_types(graph: onnx.GraphProto) -> None:
    """Declared types inside of the graph; nested graphs declare only those of their outputs."""
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            # Touching a graph that is not there would create it.
            nested = [attribute.g] if attribute.HasField("g") else []
            for inner in (*nested, *attribute.graphs):
                for value in (*inner.input, *inner.output):
                    if value.type.tensor_type.elem_type in _OTHER_FLOATS:
                        value.type.tensor_type.elem_type = TensorProto.FLOAT
                _forget_types(inner)
