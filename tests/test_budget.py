"""Steps for a time: worked out by hand, with the clock given."""

from __future__ import annotations

import pytest

from squeeze.budget import USED, Budget, Left, Pace, Plan, plan
from squeeze.errors import ConfigError
from squeeze.quantities import duration
from squeeze.run import keyed


def made(seconds: float, wanted: int = 1000, **further: float) -> Plan:
    """A step takes 0.1 s, looking ten times 0.5 s each: 1,000 steps take 105 s. The clock has `seconds` left."""
    pace = Pace(0.1, 0.5, 10)
    return plan("distill", "distill.steps", wanted, pace, Left(300.0, seconds, 40.0), **further)  # type: ignore[arg-type]


def test_a_training_that_fits_is_as_long_as_the_recipe_says() -> None:
    found = made(seconds=105 / USED + 0.1)
    assert (found.steps, found.cut) == (1000, 0)
    assert found.seconds == pytest.approx(105)


def test_a_training_that_does_not_fit_gets_the_steps_that_do() -> None:
    # 95 % of 60 s are 57 s; 5 of them look, 52 are 520 steps.
    found = made(seconds=60)
    assert (found.steps, found.cut) == (520, 480)
    assert "520 of 1,000 steps in 0:57" in found.words()
    assert "480 cut" in found.words()


def test_less_than_a_tenth_is_nothing_and_the_least_time_is_told() -> None:
    # 100 steps and the looks take 15 s; with 14 s left 0.95 * 14 = 13.3 s are too few.
    found = made(seconds=14)
    assert found.steps == 0
    assert found.least == 100
    enough = found.least_s - 300.0 + 14
    assert enough == pytest.approx(15 / USED)
    assert made(seconds=enough + 1e-6).steps == 100
    assert made(seconds=-20).steps == 0
    # Where two packages share the time, each second of one costs two.
    shared = plan("distill", "k", 1000, Pace(0.1, 0.5, 10), Left(300.0, 14.0, 40.0, shares=2))
    assert shared.least_s - 300 == pytest.approx(2 * (found.least_s - 300))


def test_trainings_that_follow_are_cut_by_the_same_share() -> None:
    # 105 s here and 105 s later; of 95 s each has half, 47.5 s: 425 steps.
    found = made(seconds=100, later_s=105.0)
    assert found.kept_s == pytest.approx(47.5)
    assert found.steps == 425


def test_time_that_is_kept_for_others_is_said_where_there_is_none() -> None:
    # Of 19 s each of 105 and 315 s has its share: 4.75 s, where 100 steps take 15.
    found = made(seconds=20, later_s=315.0)
    assert found.steps == 0
    assert "0:20 are left, 0:14 of them kept for trainings that follow" in found.words()
    assert made(seconds=-20, later_s=315.0).words().endswith("0:00 are left")


def test_trainings_that_may_not_come_keep_a_fifth_at_most() -> None:
    # Of 95 s a fifth are 19; 76 s less the looks are 710 steps.
    found = made(seconds=100, maybe_s=105.0)
    assert found.kept_s == pytest.approx(19)
    assert found.steps == 710


def test_a_training_that_is_made_twice_gets_half() -> None:
    # 95 s for two: 47.5 s each, 42.5 of them for steps.
    assert made(seconds=100, times=2).steps == 425


def test_a_plan_reads_back_as_it_was_written() -> None:
    found = made(seconds=60, later_s=30.0)
    assert Plan.from_json(found.to_json()) == found


def test_what_the_clock_says_is_in_no_key() -> None:
    assert keyed(Left(300.0, 12.0)) == keyed(Left(300.0, 99.0, 5.0)) == 300.0
    assert keyed(Left(600.0, 12.0)) != keyed(Left(300.0, 12.0))


def test_packages_share_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("squeeze.budget.time.monotonic", lambda: now[0])
    budget = Budget(90.0, 2, began=100.0)
    now[0] = 110.0  # 10 s for what all share: 80 are left, 40 for each
    budget.next_package()
    assert budget.left(5.0).seconds == pytest.approx(35.0)
    assert budget.left().shares == 2
    now[0] = 130.0  # the first one took 20 and leaves 20 to the other
    budget.next_package()
    assert budget.left().seconds == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0), ("2min", 120.0)]
)
def test_times_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "0m", "-5m", "soon", "5 days"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--time: got .*; a positive number with a unit"):
        duration(text)
