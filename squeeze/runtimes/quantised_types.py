"""Which integer types the tensors of a Q/DQ graph have, read from its zero points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

if TYPE_CHECKING:
    import onnx


def signed_off_centre(proto: onnx.ModelProto) -> str | None:
    """The first QuantizeLinear to int8 whose zero point is not 0."""
    for node, zero_point in _quantisers(proto):
        if zero_point is not None and zero_point.data_type == TensorProto.INT8 and _off(zero_point):
            return node
    return None


def off_centre(proto: onnx.ModelProto) -> str | None:
    """The first QuantizeLinear to anything but int8 with a zero point of 0."""
    for node, zero_point in _quantisers(proto):
        # Without a zero point the type is uint8.
        if zero_point is None or zero_point.data_type != TensorProto.INT8 or _off(zero_point):
            return node
    return None


def _quantisers(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto | None]]:
    """Each QuantizeLinear by its name or, without one, its output's, and its stored zero point."""
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "QuantizeLinear":
            zero_point = stored.get(node.input[2]) if len(node.input) > 2 else None
            yield str(node.name or node.output[0]), zero_point


def _off(zero_point: onnx.TensorProto) -> bool:
    return bool(np.any(numpy_helper.to_array(zero_point)))
