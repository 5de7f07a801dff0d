"""Which part a device gets: the one that loses least of those that are measured inside."""

from __future__ import annotations

import math

from squeeze.shrink import Bound
from squeeze.shrink.supernet.choice import Scored
from squeeze.shrink.supernet.pick import Row, pick
from squeeze.shrink.supernet.slices import Part


def row(ms: float, loss: float, bytes_: int = 100) -> Row:
    return "small", Scored(Part(units=(8,), depths=()), 1, 1_000_000, ms, bytes_, loss)


ROWS = [row(1, 0.9), row(2, 0.5), row(3, 0.4), row(4, 0.1), row(6, 0.0, 900)]


def picked(bound: Bound, factor: float, measured: int = 6) -> tuple[float | None, list[float]]:
    """The loss of what is picked where a part really takes `factor` of its guess, and what was measured."""
    asked = []

    def measure(space: str, one: Scored) -> float:
        asked.append(one.ms)
        return factor * one.ms

    found = pick(ROWS, bound, measured=measured, measure=measure)
    assert len(found.notes) == len(asked)
    assert sum(note.kept for note in found.notes) == (found.scored is not None)
    return None if found.scored is None else found.scored.loss, asked


def test_best_inside_is_picked_when_the_guess_holds() -> None:
    assert picked(Bound(0.31, True, 500, 0.1), 0.1) == (0.4, [3])
    # Bytes alone keep the best one out.
    assert picked(Bound(9.0, True, 500, 0.1), 0.1) == (0.1, [4])
    assert picked(Bound(9.0, True, 999, 0.1), 0.1) == (0.0, [6])


def test_measured_times_correct_the_guess_in_both_directions() -> None:
    # Twice as slow as guessed: 3 is beyond 0.31, then 1 is the only one inside by the new guess.
    assert picked(Bound(0.31, True, 500, 0.1), 0.2) == (0.9, [3, 1])
    # Twice as fast: the first is well inside, and what loses less is measured, too.
    assert picked(Bound(0.21, True, 500, 0.1), 0.05) == (0.1, [2, 4])


def test_nothing_is_picked_beyond_the_bounds_and_the_reason_is_said() -> None:
    bound = Bound(0.05, True, 500, 0.1)
    assert picked(bound, 0.1) == (None, [1])
    found = pick(ROWS, bound, measured=3, measure=lambda space, one: math.inf)
    assert found.scored is None
    assert "does not take it" in found.notes[0].why
    few = pick(ROWS, Bound(1.0, True, 50, 0.1), measured=3, measure=lambda space, one: 0.1)
    assert few.why == "no part is inside 50 bytes: the smallest has about 100 in int8"


def test_wished_bound_may_be_missed_by_a_tenth() -> None:
    assert picked(Bound(0.31, False, 500, 0.1), 0.109)[0] == 0.4
    assert picked(Bound(0.31, False, 500, 0.1), 0.115)[0] == 0.5
