"""Names that stay float are those of the user's file, or of what passes make of it; others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze import graph, teacher
from squeeze.errors import ConfigError
from squeeze.net import FloatNet
from squeeze.steps.keeping import check_kept, keep_in
from tests.graph.small import floats, model, node
from tests.steps.conftest import a_recipe


@pytest.fixture
def found(tmp_path: Path) -> teacher.Teacher:
    """A product, a sum and a Relu: passes write Gemm for the first two."""
    nodes = [
        node("MatMul", ["x", "w"], ["a"], name="body"),
        node("Add", ["a", "b"], ["c"], name="gate/add"),
        node("Relu", ["c"], ["y"], name="gate/relu"),
    ]
    constants = {"w": floats(4, 4), "b": floats(4)}
    graph.save(model(nodes, constants, (4,)), tmp_path / "m.onnx")
    x = floats(3, 4)
    return teacher.load(str(tmp_path / "m.onnx"), weights=None, example=x, folder=tmp_path / "t")


@pytest.mark.parametrize("pattern", ["body", "gate/*", "Relu", "Gemm"])
def test_names_and_operators_before_and_after_passes_are_taken(
    found: teacher.Teacher, pattern: str
) -> None:
    check_kept(found, [pattern])


@pytest.mark.parametrize("pattern", ["boddy", "head/*", "Conv", ""])
def test_what_fits_nothing_is_refused(found: teacher.Teacher, pattern: str) -> None:
    with pytest.raises(ConfigError, match="keep-float: no node is called"):
        check_kept(found, ["body", pattern])


def test_name_of_the_teacher_alone_has_no_effect_on_a_student_and_operators_have(
    found: teacher.Teacher, caplog: pytest.LogCaptureFixture
) -> None:
    net = FloatNet("student", found.model, "digest", found.interface)
    recipe = a_recipe(quant={"keep_float": ["head.*", "Relu", "Gemm"]})
    assert keep_in(net, recipe).quant.keep_float == ("Relu", "Gemm")
    assert "the student network has no node called 'head.*'" in caplog.text
    known = a_recipe(quant={"keep_float": ["Relu"]})
    assert keep_in(net, known) is known
