"""What `squeeze quantize` says of nodes without an int8 form is true of the file that it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import graph
from squeeze.commands.remarks import without_int8
from squeeze.quant.dynamic_lstm import float_gates, use_dynamic_lstm

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("on_integers", [False, True])
def test_lstms_on_integers_are_not_called_float(tmp_path: Path, on_integers: bool) -> None:
    random = np.random.default_rng(0)
    made = helper.make_graph(
        [
            helper.make_node("LSTM", ["x", "w", "r"], ["l"], name="layer", hidden_size=8),
            helper.make_node("Log", ["l"], ["y"]),
        ],
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
    lstm, other = "LSTM: its weights are int8, its arithmetic is float", "Log: no kernel"
    notes = [{"name": "left float", "why": f"2 x {lstm}"}, {"name": "left float", "why": other}]
    notes.append({"name": "left float", "why": "3 x Softmax: no kernel"})  # is in none
    log = [{"name": "keep", "tried": [*notes, {"name": "int8", "why": "LSTM: no"}]}]
    assert without_int8(log, file) == ([other] if on_integers else [lstm, other])


def test_what_is_said_is_of_the_step_that_made_the_file(tmp_path: Path) -> None:
    made = helper.make_graph(
        [helper.make_node("Log", ["x"], ["l"]), helper.make_node("Exp", ["l"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    file = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file
    )

    def entry(step: str, why: str) -> dict[str, object]:
        return {"name": step, "tried": [{"name": "left float", "why": why}]}

    log = [entry("keep", "2 x Log: a"), entry("place", "Exp: b"), entry("int8-by-row", "Log: c")]
    found = {form: without_int8(log, file, form) for form in ("int8", "int8-placed", "int8-by-row")}
    assert found == {"int8": ["Log: a"], "int8-placed": ["Exp: b"], "int8-by-row": ["Log: c"]}
    assert without_int8(log, file, "int8-nncf") == ["Log: a"]
