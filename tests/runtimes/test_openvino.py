from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes import session
from squeeze.runtimes.openvino import OpenVino
from squeeze.target import Target, load_target
from tests.measure.models import save
from tests.runtimes import small_nets
from tests.runtimes.small_nets import Array, images, quantised, residual

pytest.importorskip("openvino", reason="OpenVINO is optional: pip install squeeze[openvino]")


def target(**options: str) -> Target:
    found = load_target("openvino-cpu")
    runtime = found.runtime.model_copy(update={"options": {**found.runtime.options, **options}})
    return found.model_copy(update={"runtime": runtime})


def by_ort(model: Path, x: Array) -> Array:
    y: Array = session(model).run(["y"], {"x": x})[0]
    return y


@pytest.mark.parametrize("batch", [1, "n"])
def test_float_outputs_are_those_of_onnx_runtime(tmp_path: Path, batch: int | str) -> None:
    model = residual(tmp_path / "m.onnx", batch)
    runtime = OpenVino(target())
    assert runtime.missing() is None
    assert runtime.refuses(model) == []
    built = runtime.build(model, tmp_path)
    assert built.runs == model
    x = images(1 if batch == 1 else 5)
    found, expected = runtime.run(built, {"x": x}), by_ort(model, x)
    assert list(found) == ["y"]
    assert np.abs(found["y"] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_other_sizes_of_a_free_batch_follow_one_another(tmp_path: Path) -> None:
    runtime = OpenVino(target())
    built = runtime.build(residual(tmp_path / "m.onnx"), tmp_path)
    for count in (3, 1, 64):
        assert runtime.run(built, {"x": images(count)})["y"].shape == (count, 8)


def test_int8_outputs_are_within_two_steps(tmp_path: Path) -> None:
    model = quantised(tmp_path / "q.onnx", residual(tmp_path / "m.onnx"))
    runtime = OpenVino(target())
    assert runtime.refuses(model) == []
    x = images(16)
    found = runtime.run(runtime.build(model, tmp_path), {"x": x})["y"]
    assert np.abs(found - by_ort(model, x)).max() <= 2.01 * small_nets.step_of(model)


def test_int8_activations_with_a_zero_point_are_refused_with_the_way_out(tmp_path: Path) -> None:
    model = quantised(tmp_path / "q.onnx", residual(tmp_path / "m.onnx"), signed=True)
    (refusal,) = OpenVino(target()).refuses(model)
    assert refusal.node == "x_QuantizeLinear"
    assert 'numerics.activations = "uint8"' in refusal.why
    with pytest.raises(UnsupportedError, match=r"q\.onnx: node 'x_QuantizeLinear': int8"):
        OpenVino(target()).build(model, tmp_path)
    held = OpenVino(target(INFERENCE_PRECISION_HINT="f32"))
    assert held.refuses(model) == []
    x = images(4)
    found = held.run(held.build(model, tmp_path), {"x": x})["y"]
    assert np.abs(found - by_ort(model, x)).max() <= 2.01 * small_nets.step_of(model)


def test_bodies_of_our_operators_are_written_out(tmp_path: Path) -> None:
    model = small_nets.twice(tmp_path / "m.onnx")
    runtime = OpenVino(target())
    assert runtime.refuses(model) == []
    built = runtime.build(model, tmp_path)
    assert built.runs == tmp_path / "model_plain.onnx"
    x = np.array([[-1, 0, 1, 2.5]], np.float32)
    assert np.array_equal(runtime.run(built, {"x": x})["y"], [[0, 0, 2, 5]])


def test_an_operator_that_it_does_not_know_is_refused_by_its_node(tmp_path: Path) -> None:
    model = small_nets.unknown_operator(tmp_path / "m.onnx")
    assert [(r.node, "no operator Det" in r.why) for r in OpenVino(target()).refuses(model)] == [
        ("determinant", True)
    ]


@pytest.mark.parametrize(
    ("option", "value"), [("NOPE", "1"), ("NUM_STREAMS", "many"), ("PERFORMANCE_HINT", "FAST")]
)
def test_an_option_that_it_does_not_know_names_the_target(
    option: str, value: str, tmp_path: Path
) -> None:
    model = residual(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"'openvino-cpu': runtime\.options: "):
        OpenVino(target(**{option: value})).refuses(model)


def test_a_tensor_that_does_not_fit_is_said(tmp_path: Path) -> None:
    runtime = OpenVino(target())
    built = runtime.build(residual(tmp_path / "m.onnx", 1), tmp_path)
    with pytest.raises(MeasureError, match="incompatible"):
        runtime.run(built, {"x": images(1)[:, :, :8]})


def test_cost_has_a_latency_and_shares_of_operators_that_sum_to_one(tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    runtime = OpenVino(target())
    cost = runtime.cost(runtime.build(model, tmp_path))
    assert cost.source == "measured"
    assert cost.latency_ms is not None
    assert cost.latency_ms > 0
    assert cost.file_bytes == model.stat().st_size
    assert sum(one.share for one in cost.operators) == pytest.approx(1)
    assert {"Convolution", "FullyConnected"} <= {one.op for one in cost.operators}


def test_caller_runs_the_model_with_the_inputs_in_place(tmp_path: Path) -> None:
    model = save_scaled(tmp_path / "m.onnx")
    runtime = OpenVino(target())
    call = runtime.caller(runtime.build(model, tmp_path), {"x": np.array([[1, -2]], np.float32)})
    (found,) = call().to_dict().values()  # type: ignore[attr-defined]  # OpenVINO's own mapping
    assert np.array_equal(found, [[1, 0]])


def save_scaled(path: Path) -> Path:
    from onnx import helper

    return save(path, [helper.make_node("Relu", ["x"], ["y"], "relu")], ["n", 2], ["n", 2])


def test_nothing_is_written_under_the_home_and_no_package_that_sends_is_loaded(
    tmp_path: Path,
) -> None:
    model = residual(tmp_path / "m.onnx")
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path; from squeeze.target import load_target; "
        "from squeeze.runtimes.openvino import OpenVino; "
        f"r = OpenVino(load_target('openvino-cpu')); m = Path({str(model)!r}); "
        "r.cost(r.build(m, m.parent)); assert sys.modules['openvino_telemetry'] is None"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(home), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
