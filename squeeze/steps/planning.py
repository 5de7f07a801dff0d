"""How many steps a training gets of the time that `--time` leaves: measured once, recorded as a step, and then fixed.

A plan is made right before its training, when what it takes can be measured: a burst of its own steps on its own data.
Each training has its own work of a plan beside its own work, and says here what it is called and what follows it.
What was asked is in the key of the plan and what the clock said is not, so a resumed run finds the plan that was made
and trains by it. Without `--time` nothing is planned, and every training is as long as its recipe says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from squeeze.budget import Ahead, Plan
from squeeze.errors import ConfigError
from squeeze.note import Note
from squeeze.quantities import show_seconds

if TYPE_CHECKING:
    from squeeze.front import Front
    from squeeze.run import Given, Run, Work
    from squeeze.spec import AdaptivePart, QuantPart, Recipe

Json = dict[str, Any]  # Any: JSON

NAME = "plan"
# At least, of what follows all trainings: a network is also exported and packed.
_AFTER_S = 20.0
# What only time that is left over is for: less of it is no cut.
_EXTRA = ("train-on", "distill-larger")
_WIDTHS_TRAINED = 6  # 4, 3 and 2 bits, uniform and mixed
# A step at quantised weights on a CPU, about, in steps of a student in float. Only what is kept for such trainings goes
# by it; when one comes, it is measured.
_QUANTISED = 5.0


def planned(
    run: Run,
    work: Work,
    training: str,
    *,
    ahead: Ahead,
    among: int = 1,
    **given: Given,
) -> Plan | None:
    """The plan of `training`, which `work` measured or measures now; None where its steps cannot be timed, and its own
    step says why. ahead: what follows it; among: networks that share what is left."""
    assert run.budget is not None  # nobody plans without
    # What was done for the teacher's own network is done for this one and each that follows, and about as much is left
    # to do at the end, when all candidates are timed and evaluated.
    after_s = max(_AFTER_S, (2 + ahead.networks) * run.repeated_s)
    asked: Json = {"compute": run.compute, "seed": run.seed, "threads": run.threads, **given}
    left = run.budget.left(after_s, among)
    made = run.step(NAME, work, left=left, ahead=ahead, training=training, **asked)
    return Plan.from_json(made.result["plan"]) if "plan" in made.result else None


def recorded(made: Plan) -> Json:
    """What the work of a plan returns."""
    note = Note(made.key, not made.cut, made.words(), made.to_json())
    return {"summary": made.words(), "plan": made.to_json(), "tried": [note.to_json()]}


def untimed(training: str, why: object) -> Json:
    """The same, where no step of it could be timed."""
    return {"summary": f"{training}: nothing to plan: {why}"}


def agreed(
    run: Run, made: Plan | None, wanted: int, front: Front, *, first: bool = True
) -> int | None:
    """The steps of a training that the goal asks for; `wanted` where nothing could be planned. None, with the reason in
    the log, where there is no time for it and the front is inside the goal without. Raises ConfigError where it is not
    and nothing was trained before; what was is shipped, whatever it reaches. first: whether nothing was."""
    if not first:
        return spared(run, made, wanted) or None
    if made is None:
        return wanted
    if not made.steps and not front.met():
        raise ConfigError(too_short(made))
    if not made.steps:
        run.skip(made.training, f"{too_short(made)}; without it the goal is met")
    return made.steps or None


def spared(run: Run, made: Plan | None, wanted: int) -> int:
    """The steps of a training that the goal can do without: 0, with the reason in the log, where there is no time."""
    if made is not None and not made.steps:
        run.skip(made.training, made.words())
    return wanted if made is None else made.steps


def too_short(made: Plan) -> str:
    """Why a training gets no steps, and with which time it would."""
    least = math.ceil(made.least_s / 30) / 2  # half minutes
    return (
        f"--time {show_seconds(made.left.asked_s)} is too short for '{made.training}': the least is {least:g}m, for "
        f"{made.least:,} of its {made.wanted:,} steps ({made.key})"
    )


def after_student(recipe: Recipe) -> Ahead:
    """What follows the training of a student, in steps like its own."""
    part = recipe.prune
    pruning = Ahead(sure=part.rounds * part.steps, networks=1) if part.ratio else Ahead()
    return pruning + after_pruning(recipe)


def after_pruning(recipe: Recipe) -> Ahead:
    """The same of pruning."""
    part = recipe.adaptive
    adapting = Ahead(sure=adaptive_steps(part), networks=1) if part.compute else Ahead()
    return adapting + after_float(recipe)


def after_float(recipe: Recipe) -> Ahead:
    """The same of the last training in float: those at quantised weights. int8 is mostly inside the goal without; to
    fewer bits they are sure to come."""
    steps = _QUANTISED * trainings(recipe) * recipe.quant.steps
    certain = recipe.quant.bits < 8 or recipe.goal.objective == "smallest"
    return Ahead(sure=steps) if certain else Ahead(maybe=steps)


def adaptive_steps(part: AdaptivePart) -> int:
    """Of all that makes a network adaptive."""
    return part.module_steps + part.gate_steps + part.steps


def trainings(recipe: Recipe) -> int:
    """How many trainings at quantised weights there may be at most."""
    part, goal = recipe.quant, recipe.goal
    if not _trained(part):
        return 0
    if part.bits < 8:
        return 2
    return _WIDTHS_TRAINED if goal.objective == "smallest" and goal.max_bytes is None else 1


def plans(log: list[Json]) -> list[Json]:
    """Every plan of a compile, by the log of its steps."""
    return [
        note["numbers"] for step in log if step["name"] == NAME for note in step.get("tried", ())
    ]


def cuts(log: list[Json]) -> list[str]:
    """What `--time` cost, in words."""
    made = [Plan.from_json(one) for one in plans(log)]
    return [
        f"--time {show_seconds(one.left.asked_s)}: '{one.training}' got {one.steps:,} of {one.wanted:,} steps "
        f"({one.key})"
        for one in made
        if one.cut and one.training not in _EXTRA
    ]


def _trained(part: QuantPart) -> bool:
    trains = part.enabled and not part.weights_only and part.method != "post-training"
    return trains and part.steps > 0
