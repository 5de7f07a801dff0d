"""What `squeeze quantize` says of nodes without an int8 form is true of the file that it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import graph
from squeeze.commands.quantize import without_int8
from squeeze.quant.dynamic_lstm import float_gates, use_dynamic_lstm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("on_integers", [False, True])
def test_lstms_on_integers_are_not_called_float(tmp_path: Path, on_integers: bool) -> None:
    random = np.random.default_rng(0)
    made = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="layer", hidden_size=8)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, "n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 1, "n", 8])],
        [
            numpy_helper.from_array(random.normal(size=(1, 32, n)).astype(np.float32), name)
            for name, n in (("w", 4), ("r", 8))
        ],
    )
    imports = [helper.make_opsetid("", 17)]
    file = tmp_path / "m.onnx"
    onnx.save(helper.make_model(made, opset_imports=imports, ir_version=8), file)
    model = graph.load(file)
    if on_integers:
        use_dynamic_lstm(model, float_gates(model), safe=True)
        graph.save(model, file)
    lstm, other = "2 x LSTM: its weights are int8, its arithmetic is float", "Log: no kernel"
    notes = [{"name": "left float", "why": lstm}, {"name": "left float", "why": other}]
    log = [{"name": "keep", "tried": [*notes, {"name": "int8", "why": "LSTM: no"}]}]
    assert without_int8(log, file) == ([other] if on_integers else [lstm, other])
