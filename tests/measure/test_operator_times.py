"""Operators of a profile have the names of the file's nodes, not those of the runtime's passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from squeeze.measure.operator_times import operators_of
from squeeze.target import load_target


def test_a_convolution_laid_out_anew_and_fused_has_its_own_name(tmp_path: Path) -> None:
    weight = np.ones((16, 16, 3, 3), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="the conv", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], name="the relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["y"], name="the pool"),
    ]
    shape = [1, 16, 8, 8]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 1, 1])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path / "net.onnx"
    onnx.save(model, file)
    found = operators_of([], file, {"x": np.ones(shape, np.float32)}, load_target("host"))
    (conv,) = (row for row in found if row["macs"])
    assert conv["name"] == "the conv"
    assert "the pool" in {row["name"] for row in found}
    assert conv["macs"] == 16 * 16 * 9 * 64
    # Input, weights and output, once each.
    assert conv["bytes"] == 4 * (16 * 64 + 16 * 16 * 9 + 16 * 64)
