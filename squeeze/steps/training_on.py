"""A student that misses the goal in float, brought inside it in the time that `--time` leaves.

It is trained on: the weights it has, a schedule that begins anew at a lower peak. What a minute of that gains is known
after the first round. Where all the minutes that are left would not gain what is missing, the next larger candidate of
the search is trained instead. Whatever loses least on the calibrate split is kept.

All of it goes by plans, as everything that `--time` decides: minutes are those of recorded steps at a recorded pace, so
a resumed run decides alike.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from squeeze.goal import Lost, holds
from squeeze.spec import ArchSpec
from squeeze.steps.exporting import STUDENT
from squeeze.steps.float_student import FloatStudent, distilled, exported
from squeeze.steps.planning_students import student_plan
from squeeze.steps.samples import calibrate_lost

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At, Run
    from squeeze.search import SearchResult
    from squeeze.spec import Recipe
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "train-on"
LARGER = "distill-larger"
# Of the recipe's peak: far enough to leave where the first schedule ended, and not what was learned.
WARM_SHARE = 0.25


def brought_inside(
    run: Run, case: Case, device: Device, recipe: Recipe, result: SearchResult, first: FloatStudent
) -> FloatStudent:
    """`first`, or what became of it. Without `--time` nothing is asked and nothing is done."""
    if run.budget is None:
        return first
    part = recipe.distill
    wanted = max(1, part.steps // 2)
    lost = _lost(run, case, first)
    best, last = (lost, first), (lost, first)
    while not holds(recipe.goal, last[0]):
        rounds = part.model_copy(update={"steps": wanted, "lr": WARM_SHARE * part.lr})
        plan = student_plan(run, case, recipe, first.arch, rounds, NAME, before=last[1].trained)
        if not plan.steps:
            run.skip(NAME, plan.words())
            break
        rounds = rounds.model_copy(update={"steps": plan.steps})
        trained = distilled(run, case, rounds, first.arch, NAME, last[1].trained)
        steps = last[1].steps + plan.steps
        again = exported(run, case, device, first.arch, trained, steps)
        lost = _lost(run, case, again)
        gain, missing = last[0].drop - lost.drop, lost.drop - recipe.goal.max_drop
        minutes, left = plan.seconds / 60, plan.spare_s / 60
        run.tell(NAME, f"{gain:+.2f} points in {minutes:.1f} minutes, {left:.1f} minutes are left")
        last, wanted = (lost, again), 2 * wanted
        best = min(best, last, key=lambda one: one[0].drop)
        if missing > 0 and gain / minutes * left < missing:
            larger = _larger(run, case, device, recipe, result, first.arch)
            best = best if larger is None else min(best, larger, key=lambda one: one[0].drop)
            break
    return best[1]


def lose(at: At, *, exported: Step, case: Case, threads: int) -> Json:
    """What the float graph loses on the calibrate split."""
    found = calibrate_lost(case, exported.path / STUDENT, threads=threads, progress=at.progress)
    return {"summary": f"{found.drop:+.2f} points lost on the calibrate split", **found.to_json()}


def larger_than(arch: ArchSpec, result: SearchResult) -> ArchSpec | None:
    """The candidate of the search with the next more multiplications, within its bounds and where the goal asks for a
    latency, measured to be; None where there is none."""
    rows = {_name(row["family"], row["params"]): row for row in result.candidates}
    own = rows.get(_name(arch.family, arch.params))
    if own is None:
        return None
    limit = result.bounds["latency_ratio"] if result.bounds.get("demanded") else None
    more = [
        row
        for row in result.candidates
        if row["macs"] > own["macs"]
        and (
            limit is None or (row["measured_ratio"] is not None and row["measured_ratio"] <= limit)
        )
    ]
    # Of about the same size the one with the better score, which comes first.
    best = min(more, key=lambda row: row["macs"], default=None)
    return None if best is None else ArchSpec(family=best["family"], params=best["params"])


def _larger(
    run: Run, case: Case, device: Device, recipe: Recipe, result: SearchResult, arch: ArchSpec
) -> tuple[Lost, FloatStudent] | None:
    more = larger_than(arch, result)
    if more is None:
        run.skip(LARGER, "the search has no larger candidate inside its bounds")
        return None
    plan = student_plan(run, case, recipe, more, recipe.distill, LARGER)
    if not plan.steps:
        run.skip(LARGER, plan.words())
        return None
    part = recipe.distill.model_copy(update={"steps": plan.steps})
    trained = distilled(run, case, part, more, LARGER)
    made = exported(run, case, device, more, trained, plan.steps)
    return _lost(run, case, made), made


def _lost(run: Run, case: Case, one: FloatStudent) -> Lost:
    step = run.step("lose", lose, exported=one.exported, case=case.blind(), threads=run.threads)
    return Lost.of(step.result)


def _name(family: str, params: Json) -> str:
    return json.dumps([family, params], sort_keys=True)
