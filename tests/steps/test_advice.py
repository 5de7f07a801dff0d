"""What to try where a goal is missed: each option as a user would work it out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from squeeze.goal import Reached, checks
from squeeze.quantities import byte_count, milliseconds
from squeeze.spec import BudgetPart, Goal, Recipe, load_recipe
from squeeze.steps.advice import advice

TRAINED = [{"name": "distill", "status": "done", "seconds": 300.0}]


def recipe(**goal: Any) -> Recipe:  # Any: limits
    known = load_recipe("balanced", {"distill.steps": 2500})
    return known.model_copy(update={"goal": known.goal.model_copy(update=goal)})


def test_a_drop_is_accepted_or_trained_away() -> None:
    said = advice(recipe(max_drop=1.0), Reached(1.81, 0.2, 1000), TRAINED)
    assert said == ["--drop 1.9 (holds)", "--set distill.steps=10000 (about 20:00)"]


def test_what_the_worst_class_loses_is_accepted_or_trained_away() -> None:
    asked = recipe(max_drop=1.0, max_worst_class_drop=2.0)
    said = advice(asked, Reached(0.2, 0.2, 1000, class_drop=5.94), TRAINED)
    assert said == ["--worst-class-drop 6 (holds)", "--set distill.steps=10000 (about 20:00)"]


def test_time_of_a_training_that_was_reused_is_not_known() -> None:
    reused = [{**TRAINED[0], "status": "reused", "seconds": 0.1}]
    said = advice(recipe(max_drop=1.0), Reached(1.81, 0.2, 1000), reused)
    assert said[-1] == "--set distill.steps=10000"


def test_a_training_that_a_time_cut_gets_more_time() -> None:
    asked = recipe(max_drop=1.0).model_copy(update={"budget": BudgetPart(time_s=90)})
    assert advice(asked, Reached(1.81, 0.2, 1000), TRAINED)[-1] == "--time 180s"


@pytest.mark.parametrize("latency_ms", [0.3101, 0.0999, 12.0, 1.5])
def test_limits_that_hold_are_next_above_what_was_reached(latency_ms: float) -> None:
    goal = recipe(max_latency_ms=latency_ms / 2, max_bytes=20_000)
    reached = Reached(0.5, latency_ms, 47_001)
    first, *more = advice(goal, reached, [])
    assert more == ["--recipe fastest", "--recipe smallest"]
    options = first.removesuffix(" (holds)").split()
    limits = dict(zip(options[::2], options[1::2], strict=True))
    there = Goal(
        max_latency_ms=milliseconds(limits["--latency"]), max_bytes=byte_count(limits["--size"])
    )
    assert all(check.ok for check in checks(there, reached))
    assert there.max_latency_ms is not None
    assert there.max_latency_ms <= 1.1 * latency_ms
    assert there.max_bytes == 48_000


def test_nothing_is_said_of_what_holds_or_cannot_be_helped() -> None:
    assert advice(recipe(), Reached(0.5, 0.2, 1000), TRAINED) == []
    assert advice(recipe(), Reached(0.5, 0.2, 1000, runs=False), []) == []


def test_an_endless_loss_has_no_limit_that_holds() -> None:
    said = advice(recipe(max_drop=1.0), Reached(math.inf, 0.2, 1000), TRAINED)
    assert said == ["--set distill.steps=10000 (about 20:00)"]
