from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from squeeze.errors import ConfigError, MeasureError
from squeeze.measure import Latency, compared, latency, ratio
from squeeze.measure.timing import _plan
from tests.measure.models import conv, linear, save


def of_rounds(*rounds_ms: float) -> Latency:
    return Latency(1.0, 1.0, 1.0, len(rounds_ms), 1, rounds_ms)


def test_latency_holds_ordered_percentiles_and_as_many_runs_as_asked(tmp_path: Path) -> None:
    models = {"a": linear(tmp_path / "a.onnx"), "b": linear(tmp_path / "b.onnx", outputs=4)}
    found = latency(models, np.zeros((1, 3), np.float32), runs=100)
    assert list(found) == ["a", "b"]
    for one in found.values():
        assert 0 < one.p50_ms <= one.p90_ms <= one.p99_ms
        assert (one.runs, one.threads, len(one.rounds_ms)) == (100, 1, 20)
        assert min(one.rounds_ms) <= one.p50_ms <= max(one.rounds_ms)


def test_latency_makes_fewer_runs_when_time_is_up(tmp_path: Path) -> None:
    slow = conv(tmp_path / "slow.onnx", channels=64, filters=64, kernel=3, size=64)
    x = np.zeros((1, 64, 64, 64), np.float32)
    found = latency({"slow": slow}, x, runs=100_000, max_seconds=0.2)["slow"]
    assert 3 <= found.runs < 100_000
    assert len(found.rounds_ms) >= 3


def test_latency_leaves_garbage_collection_as_it_was(tmp_path: Path) -> None:
    assert gc.isenabled()
    latency({"a": linear(tmp_path / "a.onnx")}, np.zeros((1, 3), np.float32), runs=3)
    assert gc.isenabled()


def test_latency_takes_a_model_with_a_fixed_batch(tmp_path: Path) -> None:
    fixed = linear(tmp_path / "a.onnx", batch=4)
    assert latency({"a": fixed}, np.zeros((1, 3), np.float32), runs=3)["a"].runs == 3


def test_latency_names_the_model_when_it_fails(tmp_path: Path) -> None:
    # Valid as far as the runtime can tell before it sees the values: 3 numbers do not fit into [2].
    nodes = [helper.make_node("Reshape", ["x", "two"], ["y"])]
    broken = save(tmp_path / "m.onnx", nodes, ["n", 3], ["m"], {"two": np.array([2], np.int64)})
    with pytest.raises(MeasureError, match="student: the model failed while it was timed"):
        latency({"student": broken}, np.zeros((1, 3), np.float32))


def test_latency_refuses_a_sample_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got shape"):
        latency({"a": linear(tmp_path / "a.onnx")}, np.zeros((1, 4), np.float32))
    with pytest.raises(ConfigError, match="runs: got 0"):
        latency({"a": linear(tmp_path / "a.onnx")}, np.zeros((1, 3), np.float32), runs=0)


def test_ratio_is_the_median_over_rounds_when_one_round_was_disturbed() -> None:
    # Rounds: 2, 2, 20, 2, 1; the machine slowed down to a third in the last two, for both.
    a = of_rounds(2.0, 2.0, 20.0, 6.0, 3.0)
    b = of_rounds(1.0, 1.0, 1.0, 3.0, 3.0)
    assert ratio(a, b) == 2
    assert ratio(b, a) == 0.5
    found = compared(a, b)
    assert found.rounds == 5
    # Linear interpolation between the sorted 1, 2, 2, 2, 20 at 0.4 and 3.6.
    assert (found.p10, found.p90) == pytest.approx((1.4, 12.8))


def test_ratio_refuses_latencies_of_different_calls() -> None:
    with pytest.raises(ValueError, match="different calls"):
        ratio(of_rounds(1.0), of_rounds(1.0, 2.0))


@pytest.mark.parametrize(
    ("runs", "affordable", "planned"),
    [
        (200, 10**6, (20, 10)),
        (7, 10**6, (7, 1)),
        (1, 10**6, (3, 1)),
        (400, 100, (20, 3)),
        (400, 12, (6, 1)),
        (400, 0, (3, 1)),
    ],
)
def test_plan_fits_the_time(runs: int, affordable: int, planned: tuple[int, int]) -> None:
    assert _plan(runs, affordable) == planned
