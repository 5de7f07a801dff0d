"""Where plain int8 loses too much because channels differ in size, equalised ones are tried before anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import graph, steps
from squeeze.front import Front
from tests.quant.channels import HARD_SWISH, network, samples
from tests.steps.conftest import a_device, a_recipe, a_run


@pytest.mark.parametrize("equalise", [True, False])
def test_equalised_channels_are_a_rung(tmp_path: Path, *, equalise: bool) -> None:
    graph.save(network(HARD_SWISH), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=samples(120))
    run = a_run(tmp_path / "work")
    case = steps.load(run, str(tmp_path / "m.onnx"), None, str(tmp_path / "d.npz"), "channel_error")
    device = a_device(tmp_path / "state")
    quant = {"equalise": equalise, "observer": "minmax"}
    recipe = a_recipe(quant=quant, goal={"max_drop": 1.0})
    front = Front(recipe.goal, lambda candidates: {})
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
    plain = front.candidates["kept-int8"]
    assert plain.drop > 1.0  # else this network shows nothing
    found = {c.form: c for c in steps.fewer_bits(run, case, device, recipe, front)}
    assert ("int8-equalised" in found) == equalise
    # Without them nodes must stay float, or nothing helps.
    assert equalise or "control" in [entry["name"] for entry in run.log]
    if equalise:
        assert found["int8-equalised"].drop < plain.drop / 2
        assert found["int8-equalised"].drop <= 1.0
