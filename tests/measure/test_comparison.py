from __future__ import annotations

import math

import pytest

from squeeze.measure import Latency, compared, comparisons
from squeeze.measure.comparison import decided, unsteadiness
from squeeze.measure.on_runtime import compare_costs
from squeeze.runtimes.runtime import Cost


def of_rounds(*rounds_ms: float, calm: bool = True) -> Latency:
    return Latency(1.0, 1.0, 1.0, len(rounds_ms), 1, rounds_ms, calm)


def test_ratio_is_the_median_over_rounds_when_one_round_was_disturbed() -> None:
    # Rounds: 2, 2, 20, 2, 1; the machine slowed down to a third in the last two, for both.
    a = of_rounds(2.0, 2.0, 20.0, 6.0, 3.0)
    b = of_rounds(1.0, 1.0, 1.0, 3.0, 3.0)
    found = compared(a, b)
    assert found.ratio == 2
    # Linear interpolation between the sorted 1, 2, 2, 2, 20 at 0.4 and 3.6.
    assert (found.ratio_p10, found.ratio_p90) == pytest.approx((1.4, 12.8))
    # The latencies are the median rounds: of 2, 2, 3, 6, 20 and of 1, 1, 1, 3, 3.
    assert (found.model_p50_ms, found.against_p50_ms, found.rounds) == (3, 1, 5)
    assert not found.steady


def test_inverse_is_the_comparison_the_other_way_round() -> None:
    a, b = of_rounds(2.0, 4.0, 6.0), of_rounds(1.0, 1.0, 2.0)
    # Ratios 2, 4, 3 have quantiles that interpolation puts elsewhere when they are turned over: only edges are equal.
    found = compared(a, b).inverse
    assert (found.ratio, found.model_p50_ms, found.against_p50_ms) == (1 / 3, 1, 4)
    assert (found.ratio_p10, found.ratio_p90) == pytest.approx((1 / 3.8, 1 / 2.2))


@pytest.mark.parametrize(
    ("last_ms", "calm", "steady"), [(3.0, True, True), (3.5, True, False), (2.0, False, False)]
)
def test_comparison_is_steady_on_a_calm_machine_when_rounds_agree(
    last_ms: float, calm: bool, steady: bool
) -> None:
    # Of ten rounds nine have ratio 2; interpolation at 8.1 of 0 to 9 takes a tenth of the way to the last two.
    model = of_rounds(*[2.0] * 8, last_ms, last_ms, calm=calm)
    found = compared(model, of_rounds(*[1.0] * 10))
    assert (found.spread <= 1.5) is (last_ms <= 3.0)
    assert found.steady is steady


def test_comparison_of_a_busy_machine_is_not_steady_however_well_its_rounds_agree() -> None:
    # Recorded beside one other program, one thread: the large model loses its core in each run, the small one in none.
    large = of_rounds(26.3, 29.7, 27.9, 28.1, 26.9, calm=False)
    small = of_rounds(0.45, 0.46, 0.46, 0.45, 0.46)
    found = compared(large, small)
    assert found.spread < 1.2
    assert not found.steady


def test_compared_refuses_latencies_of_different_calls() -> None:
    with pytest.raises(ValueError, match="different calls"):
        compared(of_rounds(1.0), of_rounds(1.0, 2.0))


def test_comparisons_of_a_table_share_their_rounds() -> None:
    taken = {
        "teacher": of_rounds(4.0, 4.0, 8.0),
        "a": of_rounds(2.0, 2.0, 4.0),
        "b": of_rounds(1.0, 1.0, 1.0),
    }
    found = comparisons(taken, "teacher")
    assert {name: one.ratio for name, one in found.items()} == {"teacher": 1, "a": 2, "b": 4}
    assert {one.model_p50_ms for one in found.values()} == {4}
    assert [one.against_p50_ms for one in found.values()] == [4, 2, 1]


def test_unsteadiness_is_that_of_the_widest_comparison_with_the_first() -> None:
    first, like_it = of_rounds(1.0, 1.0, 2.0), of_rounds(2.0, 2.0, 4.0)
    assert unsteadiness({"first": first, "like it": like_it}) == 0
    wide = of_rounds(1.0, 1.0, 1.0)
    # Ratios 1, 1, 2: p10 is 1 and p90 1.8.
    assert unsteadiness({"first": first, "like it": like_it, "wide": wide}) == pytest.approx(1.8)
    assert unsteadiness({"first": first, "busy": of_rounds(1.0, 1.0, 2.0, calm=False)}) == math.inf
    assert unsteadiness({"alone": first}) == 0


@pytest.mark.parametrize(
    ("rounds", "answer"),
    [
        ((0.5, 0.8), True),
        ((1.1, 1.3), True),
        ((0.8, 0.95), False),
        ((0.8, 1.3), False),
        ((0.8,) * 7 + (1.3,), False),
        ((0.8,) * 8 + (1.3,), True),
        ((1.3,) * 10 + (0.95,) * 2, False),
        ((1.3,) * 11 + (0.95,) * 2, True),
    ],
    ids=[
        "all below",
        "all above",
        "one between",
        "both sides",
        *["7 of 8", "8 of 9", "10 of 12", "11 of 13"],
    ],
)
def test_ratio_is_decided_when_so_many_rounds_are_on_one_side(
    rounds: tuple[float, ...], answer: bool
) -> None:
    model = Latency(1.0, 1.0, 1.0, 2, 1, rounds)
    against = Latency(1.0, 1.0, 1.0, 2, 1, (1.0,) * len(rounds))
    assert decided({"model": model, "against": against}, (0.9, 1.0)) is answer


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        (
            Cost("cycles", latency_ms=2.0, cycles=1000),
            Cost("cycles", latency_ms=3.0, cycles=1500),
            "1.5x the speed of the teacher (cycles)",
        ),
        (
            Cost("static", traffic_bytes={"dram_read": 30, "dram_write": 20}),
            Cost("static", traffic_bytes={"dram_read": 80, "dram_write": 20}),
            "0.50x the memory traffic of the teacher",
        ),
        (
            Cost("static", ram_bytes=90, file_bytes=1),
            Cost("static", ram_bytes=100, file_bytes=1),
            "0.90x the working memory of the teacher",
        ),
    ],
    ids=["cycles", "traffic", "memory"],
)
def test_a_comparison_says_what_was_compared(mine: Cost, other: Cost, said: str) -> None:
    found = compare_costs({"a": mine, "b": other}, {}, "a", "b")
    assert found.said("the teacher") == said
    assert (found.inverse.what, found.inverse.source) == (found.what, found.source)


def test_a_measured_comparison_is_of_speed() -> None:
    found = compared(of_rounds(1.0, 1.0), of_rounds(3.0, 3.0))
    assert found.said("the teacher") == "3.0x the speed of the teacher"
