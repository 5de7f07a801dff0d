"""Which forms of a float network are made, and which of them are given on."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from squeeze import steps
from tests.steps.conftest import Loaded, a_device, a_recipe


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
    assert loaded.run.log[-1]["status"] == "reused"
    (decision,) = (n for n in loaded.run.log[-1]["tried"] if n["name"] == "int8")
    assert [c.form for c in kept] == (["float", "int8"] if decision["kept"] else ["float"])
    domains = {node.domain for node in onnx.load(both[1].file).graph.node}
    if not custom_ops:
        assert domains <= {"", "ai.onnx"}
