from __future__ import annotations

import math

import pytest

from squeeze.measure.rounds import Burst, latencies

MS = 1_000_000


def burst(*runs_ms: float, on_core: float = 1.0) -> Burst:
    """Runs of so many milliseconds, in each of which the thread had its core for a share of `on_core`."""
    wall = tuple(int(ms * MS) for ms in runs_ms)
    return Burst(wall, tuple(int(on_core * ns) for ns in wall))


def test_latency_has_the_percentiles_of_all_runs_and_the_median_of_each_round() -> None:
    found = latencies({"m": [burst(1, 2, 9), burst(3, 4, 5), burst(6, 7, 8)]}, threads=2)["m"]
    assert found.rounds_ms == (2, 4, 7)
    assert (found.runs, found.threads, found.calm) == (9, 2, True)
    # 1 to 9 at 0.5, 0.9 and 0.99 of the way, by linear interpolation.
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == pytest.approx((5, 8.2, 8.92))


def test_runs_that_lost_their_core_do_not_count() -> None:
    interrupted = Burst((1 * MS, 50 * MS, 3 * MS), (1 * MS, 2 * MS, int(2.7 * MS)))
    found = latencies({"m": [interrupted, burst(2), burst(2)]}, threads=1)["m"]
    # The third run kept its core for exactly nine tenths, which is enough.
    assert found.rounds_ms == (2, 2, 2)
    assert found.runs == 4
    assert found.calm


def test_round_is_left_out_for_all_models_when_one_lost_its_core_in_it() -> None:
    taken = latencies(
        {
            "large": [burst(60, on_core=0.3), burst(16), burst(18), burst(20)],
            "small": [burst(1), burst(2), burst(3), burst(4)],
        },
        threads=1,
    )
    assert taken["large"].rounds_ms == (16, 18, 20)
    assert taken["small"].rounds_ms == (2, 3, 4)
    assert all(one.calm for one in taken.values())


@pytest.mark.parametrize(
    ("rounds", "calm_rounds", "calm"), [(20, 10, True), (20, 9, False), (3, 2, False)]
)
def test_all_rounds_are_taken_when_too_few_were_calm(
    rounds: int, calm_rounds: int, calm: bool
) -> None:
    large = [burst(16, on_core=1.0 if i < calm_rounds else 0.3) for i in range(rounds)]
    taken = latencies({"large": large, "small": [burst(1)] * rounds}, threads=1)
    for one in taken.values():
        assert one.calm is calm
        assert len(one.rounds_ms) == (math.ceil(rounds / 2) if calm else rounds)
