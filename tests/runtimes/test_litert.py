"""LiteRT runs what ONNX Runtime runs: names, layout and any number of samples as in the ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.runtimes.litert import LiteRt
from squeeze.runtimes.repeated_runs import times_ms
from squeeze.target import load_target
from tests.runtimes.tflite_models import (
    Y_SCALE,
    float_net,
    int8_net,
    reference,
    refused_net,
    samples,
)

pytest.importorskip("ai_edge_litert", reason="LiteRT: pip install squeeze[litert]")


def litert() -> LiteRt:
    return LiteRt(load_target("litert-cpu"))


def test_float_outputs_are_those_of_the_onnx_file_in_its_layout(tmp_path: Path) -> None:
    model, x = float_net(tmp_path / "net.onnx"), samples(3)
    found = litert().run(litert().build(model, tmp_path), {"x": x})
    wanted = reference(model, x)
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


def test_int8_outputs_are_within_a_step_of_those_of_the_onnx_file(tmp_path: Path) -> None:
    model, x = int8_net(tmp_path / "net.onnx"), samples(20)
    found = litert().run(litert().build(model, tmp_path), {"x": x})["y"]
    steps = (found - reference(model, x)["y"]) / Y_SCALE
    assert found.dtype == np.float32
    assert len(np.unique(np.rint(found / Y_SCALE))) > 20  # the numbers say something
    np.testing.assert_array_less(np.abs(steps), 1.01)


def test_a_tflite_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    made = litert().build(int8_net(tmp_path / "net.onnx"), tmp_path / "one")
    again = litert().build(made.runs, tmp_path / "two")
    assert again.runs == tmp_path / "two" / "model.tflite"
    assert again.runs.read_bytes() == made.runs.read_bytes()
    assert litert().refuses(made.runs) == []


def test_what_cannot_be_written_is_refused_with_the_node(tmp_path: Path) -> None:
    model = refused_net(tmp_path / "net.onnx")
    assert [refusal.node for refusal in litert().refuses(model)] == ["volume"]
    with pytest.raises(UnsupportedError, match="volume"):
        litert().build(model, tmp_path)
    assert not (tmp_path / "model.tflite").exists()


def test_a_damaged_file_is_told_from_a_model(tmp_path: Path) -> None:
    built = litert().build(int8_net(tmp_path / "net.onnx"), tmp_path)
    built.runs.write_bytes(built.runs.read_bytes()[:200])
    with pytest.raises((ConfigError, MeasureError), match=r"model\.tflite"):
        litert().run(built, {"x": samples(1)})


def test_a_feed_that_does_not_fit_says_what_does(tmp_path: Path) -> None:
    built = litert().build(float_net(tmp_path / "net.onnx"), tmp_path)
    with pytest.raises(ConfigError, match=r"inputs: got image, the model takes x"):
        litert().run(built, {"image": samples(1)})
    with pytest.raises(
        ConfigError, match=r"'x': got \[2, 3, 16, 15\], the model takes \[n, 3, 16, 16\]"
    ):
        litert().run(built, {"x": samples(2)[..., :15]})


def test_cost_is_measured_and_a_caller_runs_what_is_in_place(tmp_path: Path) -> None:
    model, x = float_net(tmp_path / "net.onnx"), samples(1)
    runtime = litert()
    built = runtime.build(model, tmp_path)
    cost = runtime.cost(built)
    assert cost.source == "measured"
    assert cost.latency_p10_ms <= cost.latency_ms <= cost.latency_p90_ms
    assert cost.file_bytes == built.runs.stat().st_size
    outputs = runtime.caller(built, {"x": x})()
    wanted = reference(model, x)
    assert sorted(np.size(one) for one in outputs) == sorted(
        np.size(one) for one in wanted.values()
    )


def test_opening_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    built = litert().build(float_net(tmp_path / "net.onnx"), tmp_path)
    litert().run(built, {"x": samples(1)})
    assert capfd.readouterr() == ("", "")


def test_times_are_of_at_least_ten_runs_without_the_first() -> None:
    calls: list[int] = []
    found = times_ms(lambda: calls.append(0), seconds=0.0)
    assert found.runs == 10
    assert len(calls) > 10
