"""How many steps a training gets of the time that `--time` leaves: measured once, recorded as a step, and then fixed.

A plan is made right before its training, when what it takes can be measured: a burst of its own steps on its own data.
What was asked is in the key of the plan and what the clock said is not, so a resumed run finds the plan that was made
and trains by it. Without `--time` nothing is planned, and every training is as long as its recipe says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from squeeze.budget import Plan
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.quantities import show_seconds
from squeeze.steps.answering import answered
from squeeze.steps.inheriting import inherits
from squeeze.steps.planning_work import plan_recovery, plan_rung, plan_student
from squeeze.steps.searching import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.case import Case
    from squeeze.front import Candidate, Front
    from squeeze.net import FloatNet
    from squeeze.run import Run
    from squeeze.spec import ArchSpec, DistillPart, QuantPart, Recipe
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "plan"
# What is done for the teacher's own network is done for the next one too, and all candidates are timed and evaluated at
# the end: twice of what it took until now. Not what is done once.
_AFTER = 2.0
_AFTER_S = 20.0  # and at least this, for it is also exported and packed
_ONCE = frozenset(
    {
        *("teacher", "preprocess", "labels", "search", "shrink", "sift", "plan", "export", "prune"),
        *("distill", "distill-shrunk", "distill-larger", "train-on"),
        *("distill-assistant", "assistant", "weigh"),
        *("pieces", "puzzle", "distill-puzzle"),
    }
)
# What only time that is left over is for: less of it is no cut.
_EXTRA = ("train-on", "distill-larger")
_WIDTHS_TRAINED = 6  # 4, 3 and 2 bits, uniform and mixed


def refuse_unplanned(run: Run, case: Case, recipe: Recipe) -> None:
    """Raises UnsupportedError for `--time` where a network of shared weights, an adaptive one or one of replaced parts
    would be trained: nothing plans that."""
    if recipe.budget.time_s is not None and recipe.adaptive.compute:
        raise UnsupportedError(
            "--time (budget.time_s): does not plan what adaptive.compute trains; set its steps (adaptive.module_steps, "
            "gate_steps, steps) without --time, or leave adaptive.compute at 0"
        )
    if recipe.budget.time_s is not None and recipe.puzzle.enabled:
        raise UnsupportedError(
            "--time (budget.time_s): does not plan the fitting of replacements (puzzle.enabled); ask for one of the "
            "two, and bound the other with puzzle.steps"
        )
    wanted = recipe.search.evaluations and case.data.source != SYNTHETIC
    if recipe.budget.time_s is not None and wanted and inherits(run, case, recipe):
        raise UnsupportedError(
            "--time (budget.time_s): plans students that are trained alone; those of transformers are parts of one "
            "network; set its steps (supernet.steps, supernet.further), or take --recipe ptq"
        )


def student_part(
    run: Run, case: Case, recipe: Recipe, arch: ArchSpec, front: Front
) -> DistillPart | None:
    """How the student is distilled; None, with the reason in the log, where there is no time for it and the front is
    inside the goal without. Raises ConfigError where it is not."""
    part = recipe.distill
    if run.budget is None:
        return part
    steps = _agreed(run, student_plan(run, case, recipe, arch, part, "distill"), front)
    return None if steps is None else part.model_copy(update={"steps": steps})


def student_plan(
    run: Run,
    case: Case,
    recipe: Recipe,
    arch: ArchSpec,
    part: DistillPart,
    training: str,
    before: Step | None = None,
    *,
    following: int = 0,
) -> Plan:
    """The plan of a student's training of `part.steps` at most. before: a training that it goes on from; following: how
    many like it surely come after it."""
    assert run.budget is not None  # nobody plans without
    answers = answered(run, case, part)
    certain, later = _certain(recipe), trainings(recipe) * recipe.quant.steps
    beside: dict[str, Any] = {}
    if following:
        # Trainings at quantised weights that may not come are planned for when the last one is.
        beside, certain, later = {"following": following}, True, later if certain else 0
    step = run.step(
        NAME,
        plan_student,
        left=run.budget.left(_after(run)),
        answers=answers,
        arch=arch,
        data=case.data.blind(),
        part=part,
        training=training,
        later=later,
        certain=certain,
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
        before=before,
        **beside,
    )
    return Plan.from_json(step.result["plan"])


def recovery_steps(
    run: Run,
    case: Case,
    recipe: Recipe,
    front: Front,
    net: FloatNet | Candidate,
    training: str,
    wanted: int,
    key: str,
    times: int = 1,
) -> int | None:
    """The steps of a float graph's distillation, of `times` that are alike; None as `student_part`. `key`: of the
    recipe, that says how many are wanted."""
    if run.budget is None or not wanted:
        return wanted
    answers = answered(run, case, recipe.distill)
    step = run.step(
        NAME,
        plan_recovery,
        left=run.budget.left(_after(run)),
        net=net,
        case=case.blind(),
        training=training,
        wanted=wanted,
        recipe_key=key,
        times=times,
        distill=recipe.distill,
        answers=answers,
        later=trainings(recipe) * recipe.quant.steps,
        certain=_certain(recipe),
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )
    return _agreed(run, Plan.from_json(step.result["plan"]), front)


def rung_part(
    run: Run,
    case: Case,
    recipe: Recipe,
    base: Candidate,
    label: str,
    bits: Mapping[str, int],
    times: int,
    activations: str,
) -> QuantPart | None:
    """How a rung is trained, of `times` that may be; None, with the reason in the log, where there is no time."""
    part = recipe.quant
    if run.budget is None:
        return part
    answers = answered(run, case, recipe.distill)
    step = run.step(
        NAME,
        plan_rung,
        left=run.budget.left(_after(run)),
        base=base,
        case=case.blind(),
        training=label,
        bits=bits,
        times=times,
        part=part,
        distill=recipe.distill,
        answers=answers,
        activations=activations,
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )
    if "plan" not in step.result:
        return part
    made = Plan.from_json(step.result["plan"])
    if not made.steps:
        run.skip(label, _too_short(made))
        return None
    return part.model_copy(update={"steps": made.steps})


def trainings(recipe: Recipe) -> int:
    """How many trainings at quantised weights there may be at most."""
    part, goal = recipe.quant, recipe.goal
    if not part.enabled or part.weights_only or part.method == "post-training" or not part.steps:
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
    made = [Plan.from_json(told) for told in plans(log)]
    return [
        f"--time {show_seconds(one.left.asked_s)}: '{one.training}' got {one.steps:,} of {one.wanted:,} steps "
        f"({one.key})"
        for one in made
        if one.cut and one.training not in _EXTRA
    ]


def _after(run: Run) -> float:
    """What has to be done after a training, by what the same took for the teacher's own network."""
    known = sum(seconds for name, seconds in run.took.items() if name not in _ONCE)
    return max(_AFTER_S, _AFTER * known)


def _certain(recipe: Recipe) -> bool:
    """Whether weights are surely trained at few bits; int8 is mostly inside the goal without training."""
    return recipe.quant.bits < 8 or recipe.goal.objective == "smallest"


def _agreed(run: Run, made: Plan, front: Front) -> int | None:
    if made.steps:
        return made.steps
    if not front.met():
        raise ConfigError(_too_short(made))
    run.skip(made.training, f"{_too_short(made)}; without it the goal is met")
    return None


def _too_short(made: Plan) -> str:
    least = math.ceil(made.least_s / 30) / 2  # half minutes
    return (
        f"--time {show_seconds(made.left.asked_s)} is too short for '{made.training}': the least is {least:g}m, for "
        f"{made.least:,} of its {made.wanted:,} steps ({made.key})"
    )
