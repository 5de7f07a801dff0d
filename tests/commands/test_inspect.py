"""`squeeze inspect` of files that leave sizes open: MACs are counted at sizes that are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.commands.inspect import inspect_model
from squeeze.errors import ConfigError
from tests.started import run as squeeze

WIDE, NARROW = 8, 4


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """[batch, sequence, 8] times a matrix of 8 by 4."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "sequence", WIDE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weight = numpy_helper.from_array(np.ones((WIDE, NARROW), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph([node], "g", [x], [y], [weight])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_macs_are_of_the_shape_that_was_asked_for(model: Path) -> None:
    found = inspect_model(model, {"x": (1, 5, WIDE)})
    assert found["macs"] == 5 * WIDE * NARROW
    assert "assumed" not in found


def test_sizes_that_nobody_says_are_chosen_and_told(model: Path) -> None:
    found = inspect_model(model)
    (said,) = found["assumed"]
    length = int(said.split("1x")[1].split("x")[0])
    assert found["macs"] == length * WIDE * NARROW
    assert "--shape" in said


def test_a_screen_names_one_node_of_those_it_cannot_count(model: Path) -> None:
    proto = onnx.load(model)
    # What is looked up is not known before the graph runs.
    proto.graph.node.insert(0, helper.make_node("NonZero", ["x"], ["found"]))
    proto.graph.node.insert(1, helper.make_node("Cast", ["found"], ["cast"], to=TensorProto.FLOAT))
    rows = numpy_helper.from_array(np.ones((4, 3), np.float32), "rows")
    proto.graph.initializer.append(rows)
    proto.graph.node.insert(2, helper.make_node("MatMul", ["rows", "cast"], ["u"], name="first"))
    proto.graph.node.insert(3, helper.make_node("MatMul", ["rows", "cast"], ["v"], name="second"))
    proto.graph.output.extend(
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "uv"]
    )
    onnx.save(proto, model)
    done = squeeze("inspect", model, "--shape", "1x5x8")
    assert done.returncode == 0, done.stderr
    assert "macs: 160 (without first (MatMul): shapes unknown and 1 more)" in done.stdout


def test_a_package_has_the_sizes_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a package"):
        inspect_model(tmp_path, {"x": (1, 5, WIDE)})
