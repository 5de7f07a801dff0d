from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from squeeze.errors import ConfigError, MeasureError
from squeeze.interface import Interface, TensorSpec
from squeeze.measure import Latency, compare, latency
from squeeze.measure.comparison import decided
from squeeze.measure.timing import Call, _burst, _interleave, _plan, steadiest
from tests.measure.models import conv, linear, save

LINEAR = Interface((TensorSpec("x", "float32", (3,)),), (TensorSpec("y", "float32", (2,)),))
ZEROS = {"x": np.zeros((1, 3), np.float32)}


def of_rounds(*rounds_ms: float, calm: bool = True) -> Latency:
    return Latency(1.0, 1.0, 1.0, len(rounds_ms), 1, rounds_ms, calm)


def test_latency_holds_ordered_percentiles_and_no_more_runs_than_asked(tmp_path: Path) -> None:
    models = {"a": linear(tmp_path / "a.onnx"), "b": linear(tmp_path / "b.onnx", outputs=4)}
    found = latency(models, ZEROS, LINEAR, runs=100)
    assert list(found) == ["a", "b"]
    rounds = {len(one.rounds_ms) for one in found.values()}
    assert len(rounds) == 1
    assert 5 <= rounds.pop() <= 20
    for one in found.values():
        assert 0 < one.p50_ms <= one.p90_ms <= one.p99_ms
        assert len(one.rounds_ms) <= one.runs <= 5 * len(one.rounds_ms)
        assert one.threads == 1
        assert one.calm or one.runs == 5 * len(one.rounds_ms)
        assert min(one.rounds_ms) <= one.p50_ms <= max(one.rounds_ms)


def test_latency_makes_fewer_runs_when_time_is_up(tmp_path: Path) -> None:
    slow = conv(tmp_path / "slow.onnx", channels=64, filters=64, kernel=3, size=64)
    shape = (64, 64, 64)
    images = Interface((TensorSpec("x", "float32", shape),), (TensorSpec("y", "float32", shape),))
    x = {"x": np.zeros((1, *shape), np.float32)}
    found = latency({"slow": slow}, x, images, runs=100_000, max_seconds=0.2)["slow"]
    assert 3 <= found.runs < 100_000
    assert len(found.rounds_ms) >= 3


def test_latency_leaves_garbage_collection_as_it_was(tmp_path: Path) -> None:
    assert gc.isenabled()
    latency({"a": linear(tmp_path / "a.onnx")}, ZEROS, LINEAR, runs=3)
    assert gc.isenabled()


def test_latency_takes_a_model_with_a_fixed_batch_in_the_middle(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [5, 4, 3], [5, 4, 3])
    spec = TensorSpec("x", "float32", (5, 3), batch_axis=1, batch_size=4)
    feed = {"x": np.zeros((1, 5, 3), np.float32)}
    assert latency({"m": path}, feed, Interface((spec,), (spec,)), runs=3)["m"].p50_ms > 0


def test_compare_has_ratio_and_latencies_of_the_same_rounds(tmp_path: Path) -> None:
    a, b = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx", outputs=4)
    found = compare(a, b, ZEROS, LINEAR, runs=40)
    assert 0 < found.ratio_p10 <= found.ratio <= found.ratio_p90
    # A ratio of medians is no median of ratios, but both lie between the extreme rounds.
    assert found.model_p50_ms > 0
    assert found.against_p50_ms > 0
    assert 5 <= found.rounds <= 20


def test_latency_names_the_model_when_it_fails(tmp_path: Path) -> None:
    # Valid as far as the runtime can tell before it sees the values: 3 numbers do not fit into [2].
    nodes = [helper.make_node("Reshape", ["x", "two"], ["y"])]
    broken = save(tmp_path / "m.onnx", nodes, ["n", 3], ["m"], {"two": np.array([2], np.int64)})
    with pytest.raises(MeasureError, match="student: the model failed while it was timed"):
        latency({"student": broken}, ZEROS, LINEAR)


def test_latency_refuses_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="runs: got 0"):
        latency({"a": linear(tmp_path / "a.onnx")}, ZEROS, LINEAR, runs=0)


STEADY = {"a": of_rounds(2.0, 2.0, 2.0), "b": of_rounds(1.0, 1.0, 1.0)}
WIDE = {"a": of_rounds(2.0, 6.0, 2.0), "b": of_rounds(1.0, 1.0, 1.0)}
WIDER = {"a": of_rounds(2.0, 9.0, 2.0), "b": of_rounds(1.0, 1.0, 1.0)}
BUSY = {"a": of_rounds(2.0, 2.0, 2.0, calm=False), "b": of_rounds(1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("tries", "made", "kept"),
    [
        ([STEADY], 1, STEADY),
        ([WIDE, STEADY], 2, STEADY),
        ([BUSY, WIDE, STEADY], 3, STEADY),
        ([WIDER, WIDE, WIDER], 3, WIDE),
        ([BUSY, WIDER, BUSY], 3, WIDER),
        ([BUSY, BUSY, BUSY], 3, BUSY),
    ],
    ids=["steady", "once more", "twice more", "never steady", "calm once", "never calm"],
)
def test_timing_is_repeated_until_it_is_steady_and_the_steadiest_is_kept(
    tries: list[dict[str, Latency]], made: int, kept: Mapping[str, Latency]
) -> None:
    left = list(tries)
    assert steadiest(lambda: left.pop(0)) == kept
    assert len(tries) - len(left) == made


def test_comparison_that_is_decided_is_not_repeated_on_a_busy_machine() -> None:
    left = [BUSY, STEADY]
    assert steadiest(lambda: left.pop(0), lambda found: decided(found, (0.9, 1.0))) == BUSY
    assert left == [STEADY]


def test_comparison_that_is_not_decided_is_repeated() -> None:
    near = {"a": of_rounds(0.95, 0.8, 0.8, calm=False), "b": of_rounds(1.0, 1.0, 1.0)}
    left = [near, STEADY]
    assert steadiest(lambda: left.pop(0), lambda found: decided(found, (0.9, 1.0))) == STEADY


def test_try_ends_with_the_round_that_is_enough() -> None:
    made = _interleave({"a": Call(int)}, 20, 2, float("inf"), lambda bursts: len(bursts["a"]) >= 7)
    assert len(made["a"]) == 7


def test_run_that_does_not_have_its_core_is_not_calm() -> None:
    # Whoever sleeps uses no CPU, as whoever waits for a core.
    made = _burst(Call(lambda: time.sleep(0.02)), 3)
    assert len(made.wall_ns) == 3
    assert len(made.calm_ns()) == 0


def test_try_ends_early_when_no_round_is_calm() -> None:
    made = _interleave(
        {"a": Call(lambda: time.sleep(0.005)), "b": Call(int)}, 20, 2, deadline=float("inf")
    )
    assert {name: len(bursts) for name, bursts in made.items()} == {"a": 5, "b": 5}


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
