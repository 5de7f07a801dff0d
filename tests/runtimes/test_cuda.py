"""The GPU itself is at hand on few machines; that nothing is reported without one is what runs everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes import session
from squeeze.runtimes.cuda import Gpu, half
from squeeze.runtimes.nvidia import missing_gpu
from squeeze.runtimes.placement import (
    FellBack,
    NotLoaded,
    can_tell,
    first_left,
    open_without_cpu,
    placements,
)
from squeeze.runtimes.plain_onnx import named_onnx
from squeeze.runtimes.runtime import Built
from squeeze.target import Target, load_target
from tests.runtimes.small_nets import images, quantised, residual

CUDA = "CUDAExecutionProvider"
# A provider that every onnxruntime of the package index has, and that takes no node of a usual model.
TAKES_NOTHING = "AzureExecutionProvider"

with_gpu = pytest.mark.skipif(
    CUDA not in ort.get_available_providers() or missing_gpu() is not None,
    reason="needs an NVIDIA GPU and onnxruntime-gpu",
)
without_provider = pytest.mark.skipif(
    CUDA in ort.get_available_providers(), reason="this onnxruntime has the provider"
)
telling = pytest.mark.skipif(
    not can_tell() or TAKES_NOTHING not in ort.get_available_providers(),
    reason="this onnxruntime does not tell which node runs where",
)


def options(_look: bool) -> ort.SessionOptions:
    made = ort.SessionOptions()
    made.log_severity_level = 4
    return made


@without_provider
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_missing_provider_is_said_with_what_brings_it(name: str) -> None:
    missing = Gpu(load_target(name)).missing()
    assert missing is not None
    assert "pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'" in missing


@without_provider
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_missing_provider_is_an_error_and_never_the_cpu(name: str, tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    runtime = Gpu(load_target(name))
    built = Built({"model.onnx": model})
    with pytest.raises(MeasureError, match=f"'{name}': onnxruntime .* has no .*ExecutionProvider"):
        runtime.refuses(model)
    with pytest.raises(MeasureError, match="has no"):
        runtime.run(built, {"x": images(1)})
    with pytest.raises(MeasureError, match="has no"):
        runtime.cost(built)


@without_provider
def test_a_provider_that_is_not_there_is_told_from_one_that_takes_no_node(tmp_path: Path) -> None:
    with pytest.raises(NotLoaded, match=CUDA):
        open_without_cpu(residual(tmp_path / "m.onnx"), options, [CUDA])


@telling
@pytest.mark.parametrize("quantise", [False, True], ids=["float", "int8"])
def test_fallback_is_refused_with_the_first_node_of_the_file(
    quantise: bool, tmp_path: Path
) -> None:
    model = residual(tmp_path / "m.onnx")
    if quantise:
        model = quantised(tmp_path / "q.onnx", model)
    with pytest.raises(FellBack) as fell:
        open_without_cpu(model, options, [(TAKES_NOTHING, {})])
    assert fell.value.left == fell.value.all_of_it
    order = [node.name for node in onnx.load(model).graph.node]
    refusal = first_left(fell.value, order, "do something")
    assert refusal.node == "conv1"
    count = len(fell.value.left)
    assert (
        refusal.why
        == f"Conv would run on the CPU, as {count} of {count} operators would; do something"
    )


@telling
def test_nodes_without_names_are_called_by_their_outputs(tmp_path: Path) -> None:
    path = residual(tmp_path / "m.onnx")
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, path)
    named = named_onnx(path, tmp_path)
    with pytest.raises(FellBack) as fell:
        open_without_cpu(named, options, [TAKES_NOTHING])
    order = [node.name for node in onnx.load(named).graph.node]
    assert first_left(fell.value, order, "").node == "a"
    assert named_onnx(named, tmp_path) == named


@telling
def test_broken_model_is_no_fallback(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(Exception, match="Protobuf parsing failed"):
        open_without_cpu(path, options, [TAKES_NOTHING])


@telling
def test_session_on_the_cpu_alone_is_opened_to_see_what_is_where(tmp_path: Path) -> None:
    """The other side of the coin: what the fallen session says is what a session on the CPU has."""
    made = options(True)
    made.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    model = residual(tmp_path / "m.onnx")
    opened = ort.InferenceSession(str(model), made, providers=["CPUExecutionProvider"])
    names = {node.name for node in placements(opened)}
    assert names == {node.name for node in onnx.load(model).graph.node}


@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
def test_tensorrt_refuses_zero_points_by_node(signed: bool, tmp_path: Path) -> None:
    model = quantised(tmp_path / "q.onnx", residual(tmp_path / "m.onnx"), signed=signed)
    runtime = Gpu(load_target("tensorrt"))
    (refusal,) = runtime.refuses(model)
    assert refusal.node == "x_QuantizeLinear"
    assert "zero point of 0" in refusal.why
    with pytest.raises(UnsupportedError, match="x_QuantizeLinear"):
        runtime.build(model, tmp_path)


def test_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision: got 'int4', allowed: float32, float16"):
        Gpu(cuda(precision="int4")).build(residual(tmp_path / "m.onnx"), tmp_path)


def test_half_of_a_model_keeps_its_interface_and_nearly_its_outputs(tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    made = half(model, tmp_path / "half.onnx")
    weights = [t for t in onnx.load(made).graph.initializer if len(t.dims) == 4]
    assert {numpy_helper.to_array(t).dtype for t in weights} == {np.dtype("float16")}
    x = images(4)
    expected, found = (session(path).run(None, {"x": x})[0] for path in (model, made))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max()


@with_gpu
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_outputs_on_the_gpu_are_those_of_the_cpu(precision: str, tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    runtime = Gpu(cuda(precision=precision))
    assert runtime.missing() is None
    x = images(5)
    expected = session(model).run(None, {"x": x})[0]
    built = runtime.build(model, tmp_path)
    found = runtime.run(built, {"x": x})["y"]
    tolerance = 1e-4 if precision == "float32" else 5e-3
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    cost = runtime.cost(built)
    assert (cost.source, cost.accelerator_share) == ("measured", 1.0)
    assert cost.latency_ms is not None


def cuda(**runtime_options: str) -> Target:
    found = load_target("cuda")
    runtime = found.runtime.model_copy(update={"options": runtime_options})
    return found.model_copy(update={"runtime": runtime})
