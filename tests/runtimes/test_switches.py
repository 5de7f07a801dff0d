"""Numbers that a graph compares an input with are found, in bodies and behind casts; of arrays there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from squeeze.runtimes.switches import compared_with

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_number_that_an_input_is_compared_with_is_found(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [
            helper.make_node("Cast", ["mode"], ["wide"], to=TensorProto.INT64),
            helper.make_node("Equal", ["wide", "three"], ["is_three"]),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("is_three", TensorProto.BOOL, None)],
    )
    nodes = [
        helper.make_node("Constant", [], ["low"], value=numpy_helper.from_array(np.array([8000]))),
        helper.make_node("Equal", ["rate", "low"], ["is_low"]),
        helper.make_node("Equal", ["high", "rate"], ["is_high"]),
        helper.make_node("Equal", ["ids", "several"], ["mask"]),
        helper.make_node("Equal", ["one", "ids"], ["same"]),
        helper.make_node("If", ["is_low"], ["y"], then_branch=inner, else_branch=inner),
    ]
    kinds = {"rate": [], "mode": [1], "ids": [2], "one": [1]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.INT64, s) for n, s in kinds.items()],
        [helper.make_tensor_value_info("y", TensorProto.BOOL, None)],
        [
            numpy_helper.from_array(np.array(16000), "high"),
            numpy_helper.from_array(np.array([1, 2]), "several"),
            numpy_helper.from_array(np.array(3), "three"),
        ],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path)
    assert compared_with(path) == {"rate": 8000, "mode": 3}


def test_what_is_no_model_compares_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    assert compared_with(tmp_path / "m.onnx") == {}
