"""What is said of a ratio that moves while the machine is busy."""

from __future__ import annotations

from benchmarks.ratio_stability import summary
from squeeze.measure.comparison import Comparison


def turn(ratio: float, steady: bool = True) -> tuple[Comparison, float]:
    return Comparison(ratio, ratio, ratio, ratio, 1.0, 20, steady), 0.5


def test_medians_are_compared_with_those_of_the_turns_without_it() -> None:
    as_it_is = [turn(0.50), turn(0.48), turn(0.90)]
    burnt = [turn(0.53, steady=False), turn(0.52), turn(0.10)]
    first, second = summary("net", {"as it is": as_it_is, "one core burnt": burnt})
    assert (first["ratio"], first["moved_percent"], first["within_goal"]) == (0.5, 0.0, True)
    assert (second["ratio"], second["moved_percent"], second["within_goal"]) == (0.52, 4.0, True)
    assert (first["furthest_turn_percent"], second["furthest_turn_percent"]) == (80.0, -80.0)
    assert (first["steady"], second["steady"]) == (3, 2)
    (_, beyond) = summary("net", {"as it is": [turn(0.5)], "one core burnt": [turn(0.53)]})
    assert (beyond["moved_percent"], beyond["within_goal"]) == (6.0, False)
