"""Weights alone in int8: the form of models that int8 activations do not suit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import steps
from squeeze.goal import holds_drop
from squeeze.steps import storing
from tests.steps.conftest import a_device, a_recipe, a_run

RNG = np.random.default_rng(0)


def problem(folder: Path) -> None:
    """y = Relu(x @ a) @ b, where one column of x is a hundred times as large: for one scale that is too much."""
    sizes = np.ones(96, np.float32)
    sizes[0] = 100
    a = RNG.normal(size=(96, 96)).astype(np.float32) / sizes[:, None]
    b = RNG.normal(size=(96, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "b"], ["y"], name="last"),
        ],
        "sizes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(v, n) for n, v in (("a", a), ("b", b))],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "m.onnx")
    np.savez(folder / "d.npz", x=RNG.normal(size=(200, 96)).astype(np.float32) * sizes)


@pytest.mark.parametrize("keep_float", [[], ["first"]])
def test_model_that_one_scale_a_tensor_ruins_keeps_its_accuracy_in_fewer_bytes(
    tmp_path: Path, keep_float: list[str]
) -> None:
    problem(tmp_path)
    recipe = a_recipe(
        goal={"max_drop": 1.0}, quant={"keep_float": keep_float, "method": "post-training"}
    )
    run, device = a_run(tmp_path / "work"), a_device(tmp_path / "state")
    case = steps.load(run, str(tmp_path / "m.onnx"), None, str(tmp_path / "d.npz"), None)
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
    front.add(*steps.fewer_bits(run, case, device, recipe, front))
    found = [c for c in front.candidates.values() if storing.is_weights_alone(c.form)]
    if keep_float:
        assert not found  # the other layer is too small
        return
    assert not holds_drop(recipe.goal, front.candidates["kept-int8"].drop)
    (alone,) = found
    assert holds_drop(recipe.goal, alone.drop)
    assert alone.bytes < 0.4 * front.candidates["kept-float"].bytes
