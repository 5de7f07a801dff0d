"""ncnn through Vulkan, held to ONNX Runtime on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from squeeze.errors import UnsupportedError
from squeeze.runtimes.ncnn import NcnnVulkan
from squeeze.target import load_target
from tests.runtimes.small_networks import float_network, int8_network, samples


@pytest.fixture
def vulkan() -> NcnnVulkan:
    made = NcnnVulkan(load_target("ncnn-vulkan"))
    if why := made.missing():
        pytest.skip(why)
    return made


@pytest.mark.parametrize("batch", [1, "batch"])
def test_float_gives_what_onnxruntime_gives_for_every_sample(
    vulkan: NcnnVulkan, batch: int | str, tmp_path: Path
) -> None:
    x = samples(3)
    model = float_network(tmp_path / "m.onnx", batch)
    built = vulkan.build(model, tmp_path)
    opened = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([opened.run(None, {"x": x[i : i + 1]})[0] for i in range(3)])
    np.testing.assert_allclose(vulkan.run(built, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-5)
    cost = vulkan.cost(built)
    assert cost.latency_ms is None
    assert cost.notes[0].startswith("correctness only")


def test_int8_is_refused_with_the_node(vulkan: NcnnVulkan, tmp_path: Path) -> None:
    model = int8_network(tmp_path / "m.onnx")
    (refusal,) = vulkan.refuses(model)
    assert refusal.node == "x/q"
    assert "no Q/DQ" in refusal.why
    with pytest.raises(UnsupportedError, match="node 'x/q': ncnn takes no Q/DQ"):
        vulkan.build(model, tmp_path)


def test_an_operator_that_ncnn_does_not_have_is_refused_with_the_node(
    vulkan: NcnnVulkan, tmp_path: Path
) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["r"], "fine"),
            helper.make_node("Det", ["r"], ["y"], "the determinant"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    (refusal,) = vulkan.refuses(path)
    assert refusal.node == "the determinant"
    assert "layer Det not exists" in refusal.why


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)  # as when there is none
    missing = NcnnVulkan(load_target("ncnn-vulkan")).missing()
    assert missing == "ncnn is not installed: pip install 'ncnn>=1.0.20260101' 'pnnx>=20260101'"
