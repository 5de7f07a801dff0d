from __future__ import annotations

from squeeze.console.remaining import Remaining


def test_what_is_left_follows_from_the_pace_since_the_count_began() -> None:
    left = Remaining()
    assert left.seconds(10, 40, now=100.0) is None  # nothing was done since
    assert left.seconds(20, 40, now=105.0) == 10.0  # ten took 5 s, twenty are left
    assert left.seconds(40, 40, now=115.0) is None


def test_nothing_is_said_before_there_is_a_pace() -> None:
    left = Remaining()
    assert left.seconds(0, 10, now=0.0) is None
    assert left.seconds(5, 10, now=0.5) is None


def test_count_that_begins_anew_has_a_pace_of_its_own() -> None:
    left = Remaining()
    left.seconds(0, 10, now=0.0)
    assert left.seconds(8, 10, now=80.0) == 20.0
    assert left.seconds(0, 10, now=81.0) is None
    assert left.seconds(5, 10, now=86.0) == 5.0
    assert left.seconds(1, 4, now=90.0) is None
    assert left.seconds(2, 4, now=93.0) == 6.0
