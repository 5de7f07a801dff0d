"""Parts of an int8 file that stay float because they are faster so: a step of its own, whatever this machine finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import steps
from squeeze.case import Case
from squeeze.front import Candidate, Front
from squeeze.interface import Interface, TensorSpec
from squeeze.net import FloatNet
from squeeze.quant.segments import Segment
from squeeze.spec import load_recipe
from squeeze.steps import placing
from tests.steps.conftest import a_device, a_recipe, a_run


def case(folder: Path) -> Case:
    """Three convolutions of 32 channels over 24 x 24, one of them of each channel alone."""
    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((random.normal(size=shape) / 9).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "u"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], pads=[2] * 4, group=32),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "three",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 24, 24])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        [weights("u", 32, 3, 3, 3), weights("v", 32, 1, 5, 5), weights("w", 4, 32, 1, 1)],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), folder / "m.onnx")
    np.savez(folder / "d.npz", x=random.normal(size=(80, 3, 24, 24)).astype(np.float32))
    run = a_run(folder / "work")
    return steps.load(run, str(folder / "m.onnx"), None, str(folder / "d.npz"), None)


@pytest.mark.parametrize("custom_ops", [True, False])
def test_what_is_placed_is_a_candidate_with_its_float_layers_or_the_step_says_why_not(
    tmp_path: Path, custom_ops: bool
) -> None:
    known, run = case(tmp_path), a_run(tmp_path / "work")
    device = a_device(tmp_path / "state", custom_ops=custom_ops)
    made = steps.deploy(run, known, device, known.net, a_recipe().quant, slower=True)
    found = [c for c in made if c.form == placing.FORM]
    step = run.log[-1]
    assert step["name"] == "place"
    if not found:
        assert step["summary"].startswith("parts in float: ")
        assert "failed" not in step["summary"]
        return
    stay = {entry["name"] for entry in found[0].story["float"]}
    assert stay
    assert stay < {"a", "c", "e"}
    left = onnx.load(found[0].file).graph.node
    assert any(node.op_type == "Conv" for node in left)


def segment(float_us: float, int8_us: float) -> Segment:
    return Segment(("n",), True, float_us, int8_us, 0)


def test_what_promises_little_is_not_built() -> None:
    even = [segment(100, 99), segment(100, 110)]
    assert placing.choices(even) == []
    assert placing.choices([segment(100, 50), segment(100, 300)]) == [{1}]
    # All in float is the float file, and microseconds are noise.
    assert placing.choices([segment(100, 200), segment(100, 300)]) == []
    assert placing.choices([segment(10, 5), segment(10, 30)]) == []


def test_a_second_choice_asks_for_more() -> None:
    found = [segment(100, 50), segment(100, 115), segment(100, 300)]
    assert placing.choices(found) == [{1, 2}, {2}]


def test_products_that_take_little_are_not_tried_in_int8() -> None:
    found = [segment(900, 700), segment(400, 300)]
    assert not placing.worth_trying(found, 199)  # half of that is less than a tenth
    assert placing.worth_trying(found, 201)
    assert not placing.worth_trying([segment(100, 100)], 99)  # microseconds are noise


def attention(folder: Path) -> Case:
    """A sequence of 192 vectors that is weighed by its own likeness: nearly all of its time is two such products."""
    random = np.random.default_rng(0)
    weights = numpy_helper.from_array((random.normal(size=(32, 32)) / 6).astype(np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Transpose", ["a"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "t"], ["likeness"]),
        helper.make_node("Softmax", ["likeness"], ["p"]),
        helper.make_node("MatMul", ["p", "a"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed"], ["logits"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 192, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 32])],
        [weights],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), folder / "m.onnx")
    np.savez(folder / "d.npz", x=random.normal(size=(80, 192, 32)).astype(np.float32))
    run = a_run(folder / "work")
    return steps.load(run, str(folder / "m.onnx"), None, str(folder / "d.npz"), None)


def test_products_are_int8_where_that_was_faster_and_else_the_step_says_that_it_tried(
    tmp_path: Path,
) -> None:
    known, run = attention(tmp_path), a_run(tmp_path / "work")
    device = a_device(tmp_path / "state", custom_ops=False)
    made = steps.deploy(run, known, device, known.net, a_recipe().quant, slower=True)
    (int8,) = [c for c in made if c.form == "int8"]
    assert [n.op_type for n in onnx.load(int8.file).graph.node].count("QuantizeLinear") == 1
    (summary,) = [s["summary"] for s in run.log if s["name"] == "place"]
    found = [c for c in made if c.form == placing.FORM]
    if not found:
        assert summary.startswith("parts in float: ")
        assert "failed" not in summary
        return
    assert "products of two activations in int8" in summary
    left = onnx.load(found[0].file).graph.node
    assert [n.op_type for n in left].count("QuantizeLinear") > 1


@pytest.mark.parametrize(
    ("products", "lost", "taken"), [(True, 0.5, True), (False, 0.5, False), (True, 3.0, False)]
)
def test_fewer_bits_take_the_products_that_were_faster_in_int8(
    tmp_path: Path, products: bool, lost: float, taken: bool
) -> None:
    recipe = load_recipe("ptq", {"goal.max_drop": 1.0})
    file = tmp_path / "placed.onnx"
    file.write_bytes(b"")
    interface = Interface((TensorSpec("x", "float32", (3,)),), (TensorSpec("y", "float32", (2,)),))
    net = FloatNet("kept", file, "net", interface)
    front = Front(recipe.goal, lambda _: {})
    assert placing.as_placed(recipe, front, net) == recipe
    story = {"float": [], placing.PRODUCTS: products}
    front.add(Candidate(net, placing.FORM, file, "placed", lost, 8, story))
    found = placing.as_placed(recipe, front, net)
    assert found.quant.activation_products is taken
    assert found.quant.model_copy(update={"activation_products": False}) == recipe.quant
