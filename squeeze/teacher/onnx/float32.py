"""Turns the float16, bfloat16 and double numbers of an ONNX graph into float32: tensors, casts, declared types.

The result is compared with what the graph computed before; where the runtime cannot run that, a warning says so.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.onnx.external import all_nodes, all_tensors
from squeeze.teacher.onnx.runtime import SAME, one_run, output_names, run_values, same

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    from squeeze.teacher.example import Fitted

    Array = NDArray[np.generic]

logger = logging.getLogger(__name__)

# What half precision itself loses, as a share of the largest output.
HALF = 2e-2
_LARGEST = float(np.finfo(np.float32).max)
_OTHER_FLOATS: dict[int, str] = {
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
}
# Attributes whose value is an element type, by operator.
_TYPE_ATTRIBUTES = {
    "Bernoulli": "dtype",
    "BlackmanWindow": "output_datatype",
    "Cast": "to",
    "EyeLike": "dtype",
    "HammingWindow": "output_datatype",
    "HannWindow": "output_datatype",
    "MelWeightMatrix": "output_datatype",
    "RandomNormal": "dtype",
    "RandomNormalLike": "dtype",
    "RandomUniform": "dtype",
    "RandomUniformLike": "dtype",
    "SequenceEmpty": "dtype",
}


def as_float32(
    model: onnx.ModelProto, inputs: Sequence[Fitted], where: str
) -> tuple[onnx.ModelProto, str | None]:
    """`model` in float32, and what was done in words; None where it was so already.

    Raises UnsupportedError when the change cannot be made or changes what is computed.
    """
    original = type(model)()
    original.CopyFrom(model)
    types = to_float32(model)
    if not types:
        return model, None
    said = in_float32(types)
    names = output_names(model)
    try:
        after = run_values(model, one_run(model, inputs), names, where)
    except ConfigError as e:
        raise UnsupportedError(
            f"{where}: uses float16 or double in a way that cannot be changed to float32; export it in float32 "
            f"({str(e).removeprefix(f'{where}: ')})"
        ) from e
    try:
        before = run_values(original, one_run(original, inputs), names, where)
    except ConfigError:
        logger.warning(
            "%s: the runtime cannot run it in its own precision; float32 is not compared", where
        )
        return (
            model,
            f"{said}; the runtime cannot run that, so that times before are of the float32 copy",
        )
    tolerance = SAME if types == {"float64"} else HALF
    changed = [n for n in names if not agree(before[n], after[n], tolerance)]
    if changed:
        raise UnsupportedError(
            f"{where}: computes something else in float32 (output '{changed[0]}'); export it in float32"
        )
    return model, said


def has_half(model: onnx.ModelProto) -> bool:
    """Whether numbers in it have half precision."""
    half = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    ends = (v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output))
    return any(kind in half for kind in (*ends, *(t.data_type for t in all_tensors(model))))


def in_float32(types: set[str]) -> str:
    """What was done to a model that has numbers of these types, in words."""
    others = sorted(types & set(_OTHER_FLOATS.values()))
    return f"computed in float32 inside, your model uses {' and '.join(others)}"


def agree(before: Array, after: Array, tolerance: float) -> bool:
    """As `same`; of whole numbers (classes, places) a rounding may move single ones."""
    if before.dtype.kind == "f":
        return same(after, before, tolerance)
    return before.shape == after.shape and int((before != after).sum()) <= max(1, before.size // 20)


def to_float32(model: onnx.ModelProto) -> set[str]:
    """Changes `model` in place; the names of the other floats that it had."""
    found = set()
    for tensor in all_tensors(model):
        if tensor.data_type in _OTHER_FLOATS:
            found.add(_OTHER_FLOATS[tensor.data_type])
            tensor.CopyFrom(numpy_helper.from_array(_narrowed(tensor), tensor.name))
    for node in all_nodes(model.graph):
        wanted = _TYPE_ATTRIBUTES.get(node.op_type)
        for attribute in node.attribute:
            if attribute.name == wanted and attribute.i in _OTHER_FLOATS:
                found.add(_OTHER_FLOATS[attribute.i])
                attribute.i = TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        element = value.type.tensor_type.elem_type
        if element in _OTHER_FLOATS:
            found.add(_OTHER_FLOATS[element])
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    if found:
        _forget_types(model.graph)
    return found


def _narrowed(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    """Masks of doubles are often their smallest number, which would become minus infinity."""
    values = numpy_helper.to_array(tensor)
    if values.dtype == np.float64:
        values = np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), values)
    return np.asarray(values, np.float32)


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
