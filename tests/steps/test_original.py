"""The size of a model before is that of the user's own file, also where the runtime can run only a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from squeeze import steps
from squeeze.steps.judging import report_on
from tests.steps.conftest import a_recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_bytes_before_are_those_of_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[np.floating[np.generic]]
) -> None:
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))
    random = np.random.default_rng(0)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    weights = random.normal(size=(16, 3, 3, 3)).astype(kind)
    made = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", element, ["n", 3, 12, 12])],
        [helper.make_tensor_value_info("y", element, ["n", 16, 10, 10])],
        [numpy_helper.from_array(weights, "w")],
    )
    imports = [helper.make_opsetid("", 17)]
    source, data = tmp_path / "m.onnx", tmp_path / "d.npz"
    onnx.save(helper.make_model(made, opset_imports=imports, ir_version=8), source)
    np.savez(data, x=random.normal(size=(50, 3, 12, 12)).astype(kind))
    try:
        ort.InferenceSession(source, providers=["CPUExecutionProvider"])
        runs = True
    except Exception:  # the runtime's own exceptions have no class in common
        runs = False
    assert runs == (kind is np.float32)  # no Conv of doubles

    recipe = a_recipe()
    run = steps.begin(recipe, tmp_path / "cache", 1, "cpu", None)
    case = steps.load(run, str(source), None, str(data), None, trained=False)
    (device,) = steps.reach(["host"], recipe, data=True)
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
    measurements, _ = report_on(run, case, device, front, front.pick())
    assert measurements["teacher"].file_bytes == source.stat().st_size
    assert front.candidates["teacher"].bare_bytes == source.stat().st_size
    said = " ".join(case.teacher.changes)
    assert ("times before are of the float32 copy" in said) == (not runs)
