"""When no rung is needed, or none would help, that is said and nothing is made."""

from __future__ import annotations

from squeeze.front import TEACHER, Candidate, Front
from squeeze.steps.climbing import fewer_bits
from tests.steps.conftest import Loaded, a_recipe


def climbed(loaded: Loaded, float_drop: float, int8_drop: float) -> str:
    """The line that is logged for a float and an int8 form that lose so many points."""
    recipe, net = a_recipe(goal={"max_drop": 1.0}), loaded.case.net
    front = Front(recipe.goal, lambda candidates: {})
    for form, drop in ((TEACHER, 0.0), ("float", float_drop), ("int8", int8_drop)):
        front.add(Candidate(net, form, net.file, net.digest, drop))
    before = len(loaded.run.log)
    assert fewer_bits(loaded.run, loaded.case, loaded.device, recipe, front) == []
    (entry,) = loaded.run.log[before:]
    assert (entry["name"], entry["status"]) == ("ladder", "skipped")
    return str(entry["summary"])


def test_float_network_that_misses_the_goal_is_not_climbed(loaded: Loaded) -> None:
    assert climbed(loaded, 3.25, 3.5).startswith(
        "'kept-float' lost 3.2 points before quantisation, and training"
    )


def test_int8_inside_the_goal_is_enough(loaded: Loaded) -> None:
    assert climbed(loaded, 0.0, 0.9) == "int8 is inside the goal"
