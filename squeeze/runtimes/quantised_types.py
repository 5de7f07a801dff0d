"""Which integer types the tensors of a Q/DQ graph have, read from its zero points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

if TYPE_CHECKING:
    import onnx


def signed_off_centre(proto: onnx.ModelProto) -> str | None:
    """The first QuantizeLinear to int8 whose zero point is not 0, by its name or, without one, its output's."""
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "QuantizeLinear" or len(node.input) < 3:
            continue
        zero_point = stored.get(node.input[2])
        if zero_point is None or zero_point.data_type != TensorProto.INT8:
            continue
        if np.any(numpy_helper.to_array(zero_point)):
            return str(node.name or node.output[0])
    return None
