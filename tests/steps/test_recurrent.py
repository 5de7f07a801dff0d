"""LSTMs on integers as a candidate beside those that have their weights in int8 alone, whatever this machine finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from squeeze import steps
from squeeze.steps import recurrent
from tests.quant.test_stored import RNG
from tests.quant.test_stored import recurrent as a_net
from tests.steps.conftest import a_device, a_recipe, a_run


@pytest.mark.parametrize("keep_float", [[], ["LSTM"]])
def test_lstms_are_tried_on_integers_unless_they_are_to_stay_float(
    tmp_path: Path, keep_float: list[str]
) -> None:
    onnx.save(ir.serde.serialize_model(a_net("LSTM", 1)), tmp_path / "m.onnx")
    # A sample is a sequence of 5; the batch is its second axis.
    x = RNG.normal(size=(80, 5, 48)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x)
    run, device = a_run(tmp_path / "work"), a_device(tmp_path / "state")
    case = steps.load(run, str(tmp_path / "m.onnx"), None, str(tmp_path / "d.npz"), None)
    part = a_recipe(quant={"keep_float": keep_float}).quant
    made = steps.deploy(run, case, device, case.net, part, slower=True)
    tried = [step for step in run.log if step["name"] == "recurrent"]
    assert bool(tried) != bool(keep_float)
    if keep_float:
        assert not any(c.form == recurrent.FORM for c in made)
        return
    (step,) = tried
    assert "1 LSTM on integers" in step["summary"]
    assert "failed" not in step["summary"]
    found = [c for c in made if c.form == recurrent.FORM]
    assert bool(found) != step["summary"].startswith("undone")
    for candidate in found:
        kinds = {node.op_type for node in onnx.load(candidate.file).graph.node}
        assert "DynamicQuantizeLSTM" in kinds
        assert "LSTM" not in kinds
