"""A network whose tokens differ a thousandfold in size: one scale for all of them fails, a scale for each does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import steps
from squeeze.steps.rung import Rungs
from tests.steps.conftest import a_device, a_recipe, a_run

TOKENS, WIDTH = 24, 64


def tokens(folder: Path, *, rows: bool = True) -> tuple[str, str]:
    """x [n, TOKENS, WIDTH] -> product, Relu, product, normalisation, product -> the mean over tokens. rows: else with
    convolutions of width 1."""
    random = np.random.default_rng(3)
    constants = {"one": np.ones(WIDTH, np.float32), "zero": np.zeros(WIDTH, np.float32)}
    for name in "abc":
        weights = random.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 8
        constants[name] = weights if rows else weights[:, :, None]

    def layer(x: str, name: str, y: str) -> onnx.NodeProto:
        return helper.make_node("MatMul" if rows else "Conv", [x, name], [y])

    nodes = [
        layer("x", "a", "h"),
        helper.make_node("Relu", ["h"], ["r"]),
        layer("r", "b", "s"),
        helper.make_node("LayerNormalization", ["s", "one", "zero"], ["n"]),
        layer("n", "c", "t"),
        helper.make_node("ReduceMean", ["t"], ["y"], axes=[1 if rows else 2], keepdims=0),
    ]
    shape = ["n", TOKENS, WIDTH] if rows else ["n", WIDTH, WIDTH]
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "m.onnx")
    x = random.normal(size=(120, *shape[1:])) * 10 ** random.uniform(-3, 1, (120, shape[1], 1))
    np.savez(folder / "d.npz", x=x.astype(np.float32))
    return str(folder / "m.onnx"), str(folder / "d.npz")


@pytest.mark.parametrize("custom_ops", [True, False])
def test_a_scale_for_each_row_keeps_what_one_for_all_loses(
    tmp_path: Path, custom_ops: bool
) -> None:
    model, data = tokens(tmp_path)
    run = a_run(tmp_path / "work")
    device = a_device(tmp_path / "state", custom_ops=custom_ops)
    case, recipe = steps.load(run, model, None, data, None), a_recipe(goal={"max_drop": 5.0})
    made = steps.deploy(run, case, device, case.net, recipe.quant, slower=True)
    drops = {c.form: c.drop for c in made}
    base = next(c for c in made if c.form == "float")
    rungs = Rungs(run, case, device, case.net, recipe, base)
    rungs.by_row()
    (found,) = rungs.candidates
    assert found.form == "int8-by-row"
    assert found.drop < drops["int8"] / 5
    kinds = [n.op_type for n in onnx.load(found.file).graph.node]
    assert not {"MatMul", "QuantizeLinear"} & set(kinds)
    if not custom_ops:
        assert kinds.count("MatMulInteger") == 3


def test_networks_of_other_layers_have_no_such_form(tmp_path: Path) -> None:
    model, data = tokens(tmp_path, rows=False)
    run, device = a_run(tmp_path / "work"), a_device(tmp_path / "state")
    case, recipe = steps.load(run, model, None, data, None), a_recipe()
    made = steps.deploy(run, case, device, case.net, recipe.quant, slower=True)
    base = next(c for c in made if c.form == "float")
    rungs = Rungs(run, case, device, case.net, recipe, base)
    assert not rungs.by_row()
    assert not rungs.candidates
    assert [s["summary"] for s in run.log if s["name"] == "int8-by-row"] == [
        "0 of 3 layers multiply rows"
    ]
