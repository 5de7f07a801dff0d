"""Runtimes whose files have no free sizes are given those of one run; others the file as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from squeeze.measure.fixed_sizes import as_sized
from squeeze.runtimes.table import runtime_of
from squeeze.target import load_target

if TYPE_CHECKING:
    from pathlib import Path


def test_free_sizes_are_those_of_the_run_where_the_runtime_wants_them(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [value("x", TensorProto.FLOAT, ["n", 3, "height"])],
        [value("y", TensorProto.FLOAT, ["n", 3, "height"])],
    )
    model = tmp_path / "net.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), model)
    inputs = {"x": np.zeros((1, 3, 7), np.float32)}

    host = runtime_of(load_target("host"))
    assert as_sized(host, model, inputs, tmp_path / "host.onnx") == model
    sized = as_sized(runtime_of(load_target("litert-cpu")), model, inputs, tmp_path / "sized.onnx")
    opened = ort.InferenceSession(sized)
    assert [one.shape for one in opened.get_inputs()] == [[1, 3, 7]]
    assert opened.run(None, inputs)[0].shape == (1, 3, 7)
    # A runtime that takes samples one by one keeps the batch open.
    hexagon = runtime_of(load_target("hexagon-v73"))
    opened = ort.InferenceSession(as_sized(hexagon, model, inputs, tmp_path / "one.onnx"))
    assert [one.shape for one in (*opened.get_inputs(), *opened.get_outputs())] == [["n", 3, 7]] * 2
    # Nothing is free any more: the same file again.
    litert = runtime_of(load_target("litert-cpu"))
    assert as_sized(litert, sized, inputs, tmp_path / "again.onnx") == sized
