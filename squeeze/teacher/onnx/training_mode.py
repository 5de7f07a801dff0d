"""Dropout that was exported while the network was in training: it would drop at random in every run.

Runtimes that optimise leave such nodes away and others do not, so that one file gives two networks. What a teacher is
asked for is what it says, so they are taken as outside of training, which is said.
"""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from squeeze.teacher.onnx.external import all_nodes

_TRAINING_MODE = 2  # the input


def out_of_training(model: onnx.ModelProto) -> list[str]:
    """Takes the mode away from every Dropout whose mode is constant, in place; what was done, in words."""
    known = {tensor.name: _is_true(tensor) for tensor in model.graph.initializer}
    for node in all_nodes(model.graph):
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            known[node.output[0]] = _is_true(node.attribute[0].t)
    found = 0
    for node in all_nodes(model.graph):
        trains = len(node.input) > _TRAINING_MODE and known.get(node.input[_TRAINING_MODE], False)
        if node.op_type == "Dropout" and node.domain in ("", "ai.onnx") and trains:
            del node.input[_TRAINING_MODE:]
            found += 1
    if not found:
        return []
    nodes = f"{found} Dropout node{'s were' if found > 1 else ' was'}"
    return [f"{nodes} in training mode and drop nothing now; export after .eval()"]


def _is_true(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == onnx.TensorProto.BOOL and bool(numpy_helper.to_array(tensor).any())
