"""The plan of a student that is trained alone: some steps of it are timed on its own data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import budget
from squeeze.steps.answering import answered
from squeeze.steps.planning import after_student, agreed, planned, recorded

if TYPE_CHECKING:
    from squeeze.budget import Ahead, Left, Plan
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.front import Front
    from squeeze.run import At, Run
    from squeeze.spec import ArchSpec, DistillPart, Recipe
    from squeeze.steps.inheriting_work import Kept
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def student_part(
    run: Run, case: Case, recipe: Recipe, arch: ArchSpec, front: Front
) -> DistillPart | None:
    """How the student is distilled; None, with the reason in the log, where there is no time for it and the front is
    inside the goal without. Raises ConfigError where it is not."""
    part = recipe.distill
    if run.budget is None:
        return part
    made = student_plan(run, case, recipe, arch, part, "distill")
    steps = agreed(run, made, part.steps, front)
    return None if steps is None else part.model_copy(update={"steps": steps})


def student_plan(
    run: Run,
    case: Case,
    recipe: Recipe,
    arch: ArchSpec,
    part: DistillPart,
    training: str,
    before: Kept | None = None,
    *,
    following: int = 0,
) -> Plan:
    """The plan of a student's training of `part.steps` at most. before: a training that it goes on from; following: how
    many like it surely come after it."""
    found = planned(
        run,
        plan_student,
        training,
        ahead=after_student(recipe),
        answers=answered(run, case, part),
        arch=arch,
        data=case.data.blind(),
        part=part,
        before=before,
        following=following,
    )
    assert found is not None  # students can always be timed
    return found


def plan_student(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    answers: Step,
    arch: ArchSpec,
    data: Calib,
    part: DistillPart,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
    before: Kept | None,
    following: int,
) -> Json:
    """Measures some steps of the student's training, and says how many it gets. following: trainings of as many steps
    that come after it, of networks no larger; before: tells the plan of one training that goes on from that of another,
    and is as fast."""
    from squeeze.train.student import pace_of_student

    pace = pace_of_student(
        arch, data, part, answers=answers.path, seed=seed, threads=threads, compute=compute
    )
    made = budget.plan(
        training,
        "distill.steps",
        part.steps,
        pace,
        left,
        later_s=following * pace.seconds(part.steps) + ahead.sure * pace.step_s,
        maybe_s=ahead.maybe * pace.step_s,
    )
    return recorded(made)
