"""`squeeze calib` as people run it, on sets with several inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.started import run as squeeze

Save = Callable[..., str]


def test_arrays_are_told_by_the_models_inputs(save: Save, tmp_path: Path) -> None:
    values = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["n", 3]) for n in ("ids", "mask", "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["ids", "mask"], ["y"])], "g", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    ids = np.arange(30).reshape(10, 3)
    source = save("d.npz", mask=ids % 2, ids=ids)
    shown = json.loads(squeeze("calib", source, "--model", tmp_path / "m.onnx", "--json").stdout)
    assert list(shown["inputs"]) == ["ids", "mask"]
    assert shown["inputs"]["ids"]["samples"] == {
        "shape": [3],
        "dtype": "int64",
        "min": 0.0,
        "max": 29.0,
    }
    text = squeeze("calib", source, "--model", tmp_path / "m.onnx").stdout
    assert "ids" in text
    assert "mask" in text
    refused = squeeze("calib", source)
    assert "cannot tell the samples among: mask, ids" in refused.stderr
    assert refused.returncode == 2
