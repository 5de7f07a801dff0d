"""A small fixed network that is timed beside a model, so that what one machine measured on two days compares.

Milliseconds of another day are of another machine: its clock and its neighbours changed. The share of two models that
took turns stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

INPUT, SHAPE = "x", (1, 16, 48, 48)
_CHANNELS, _LAYERS = 16, 4


def write_yardstick(path: Path) -> Path:
    """Four 3x3 convolutions with ReLU over 48x48, in float: some tenths of a millisecond."""
    rng = np.random.default_rng(0)
    nodes, constants, value = [], [], INPUT
    for i in range(_LAYERS):
        weights = rng.normal(0, 0.08, (_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{i}"))
        nodes.append(
            helper.make_node("Conv", [value, f"w{i}"], [f"c{i}"], name=f"conv{i}", pads=[1] * 4)
        )
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], name=f"relu{i}"))
        value = f"r{i}"
    ends = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in (INPUT, value)
    )
    inputs, outputs = ([end] for end in ends)
    graph = helper.make_graph(nodes, "yardstick", inputs, outputs, constants)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, path)
    return path


def yardstick_inputs() -> dict[str, npt.NDArray[np.generic]]:
    """What it is run on."""
    return {INPUT: np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)}
