"""Which forms of a float network are made, and which of them are given on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from squeeze import steps
from tests.steps.conftest import Loaded, a_device, a_recipe, a_run


def test_a_recipe_without_quantisation_makes_the_float_form_alone(loaded: Loaded) -> None:
    part = a_recipe(quant={"enabled": False}).quant
    made = steps.deploy(loaded.run, loaded.case, loaded.device, loaded.case.net, part, slower=True)
    assert [c.name for c in made] == ["kept-float"]


@pytest.mark.parametrize("custom_ops", [True, False])
def test_slower_gives_both_forms_and_without_it_those_that_are_kept(
    loaded: Loaded, tmp_path: Path, custom_ops: bool
) -> None:
    device = a_device(tmp_path / "state", custom_ops=custom_ops)
    net, part = loaded.case.net, a_recipe().quant
    both = steps.deploy(loaded.run, loaded.case, device, net, part, slower=True)
    assert [c.name for c in both] == ["kept-float", "kept-int8"]
    kept = steps.deploy(loaded.run, loaded.case, device, net, part)
    assert [step["status"] for step in loaded.run.log[-2:]] == ["reused", "reused"]  # keep, place
    (decision,) = (n for n in loaded.run.log[-2]["tried"] if n["name"] == "int8")
    assert [c.form for c in kept] == (["float", "int8"] if decision["kept"] else ["float"])
    domains = {node.domain for node in onnx.load(both[1].file).graph.node}
    if not custom_ops:
        assert domains <= {"", "ai.onnx"}


def test_what_fails_in_int8_leaves_the_float_file_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A small sum in float is 0 in int8, and one divided by it is infinite."""
    random = np.random.default_rng(0)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["x", "w"], ["c"]),
            onnx.helper.make_node("Conv", ["x", "w"], ["d"]),
            onnx.helper.make_node("Add", ["c", "d"], ["s"]),
            onnx.helper.make_node("Reciprocal", ["s"], ["y"]),
        ],
        "inverse",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 8])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 1, 8])],
        [onnx.numpy_helper.from_array(np.ones((1, 1, 1), np.float32), "w")],
    )
    imports = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "m.onnx"
    )
    # From a thousandth to 100: a step of int8 is 0.4.
    x = 10 ** random.uniform(-3, 2, (200, 1, 8))
    np.savez(tmp_path / "d.npz", x=x.astype(np.float32))
    run, device = a_run(tmp_path / "work"), a_device(tmp_path / "state")
    case = steps.load(run, str(tmp_path / "m.onnx"), None, str(tmp_path / "d.npz"), None)
    made = steps.deploy(run, case, device, case.net, a_recipe().quant, slower=True)
    assert [c.name for c in made] == ["kept-float"]
    assert not list(made[0].file.parent.glob("*int8*"))
    (note,) = (n for n in run.log[-2]["tried"] if n["name"] == "int8")
    assert not note["kept"]
    assert "not finite" in note["why"]
    assert "please report this line" in caplog.text
