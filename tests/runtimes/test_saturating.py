"""Files with int8 activations are for devices whose products do not saturate; here they compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from squeeze import runtimes

if TYPE_CHECKING:
    from pathlib import Path

INPUTS, OUTPUTS = 64, 8
X_SCALE, W_SCALE, Y_SCALE = 0.1, 0.1, 128.0


def largest_products(path: Path) -> Path:
    """y = x W with every code at the end of its range: the sum of two products is beyond int16."""
    constants = {
        "x_scale": np.float32(X_SCALE),
        "y_scale": np.float32(Y_SCALE),
        "zero": np.int8(0),
        "w": np.full((INPUTS, OUTPUTS), 127, np.int8),
        "w_scale": np.full(OUTPUTS, W_SCALE, np.float32),
        "w_zero": np.zeros(OUTPUTS, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=1),
        helper.make_node("MatMul", ["xd", "wd"], ["z"], name="product"),
        helper.make_node("QuantizeLinear", ["z", "y_scale", "zero"], ["zq"]),
        helper.make_node("DequantizeLinear", ["zq", "y_scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", OUTPUTS])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_what_a_file_for_another_device_computes_does_not_saturate_here(tmp_path: Path) -> None:
    model = largest_products(tmp_path / "net.onnx")
    x = np.full((4, INPUTS), 127 * X_SCALE, np.float32)
    # 64 * 127 * 127 in units of 0.01, in steps of 128, nearest even.
    exact = np.rint(INPUTS * 127 * 127 * X_SCALE * W_SCALE / Y_SCALE) * Y_SCALE
    for given in (model, model.read_bytes()):
        (y,) = runtimes.session(given, outputs_only=True).run(None, {"x": x})
        assert y.shape == (4, OUTPUTS)
        assert np.abs(y - exact).max() <= Y_SCALE
