"""How a student whose architecture was searched goes on in the time that `--time` leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from squeeze.spec import ArchSpec
from squeeze.steps.float_student import FloatStudent, distilled, exported
from squeeze.steps.planning import spared
from squeeze.steps.planning_students import student_plan
from squeeze.steps.training_on import LARGER, NAME, WARM_SHARE, Rounds, brought_inside, float_loss

if TYPE_CHECKING:
    from squeeze.budget import Plan
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.goal import Lost
    from squeeze.run import Run
    from squeeze.search import SearchResult
    from squeeze.spec import DistillPart, Recipe

Json = dict[str, Any]  # Any: JSON


def searched_inside(
    run: Run, case: Case, device: Device, recipe: Recipe, result: SearchResult, first: FloatStudent
) -> FloatStudent:
    """`first`, brought inside the goal as far as time allows."""
    part = recipe.distill

    def lost(one: FloatStudent) -> Lost:
        return float_loss(run, case, one.net(case, "student", {}))

    def warm(steps: int) -> DistillPart:
        return part.model_copy(update={"steps": steps, "lr": WARM_SHARE * part.lr})

    def plan(one: FloatStudent, steps: int) -> Plan:
        return student_plan(run, case, recipe, one.arch, warm(steps), NAME, before=one.trained)

    def train(one: FloatStudent, steps: int) -> FloatStudent:
        trained = distilled(run, case, warm(steps), one.arch, NAME, one.trained)
        return exported(run, case, device, one.arch, trained, one.steps + steps)

    def larger() -> FloatStudent | None:
        more = larger_than(first.arch, result)
        if more is None:
            run.skip(LARGER, "the search has no larger candidate inside its bounds")
            return None
        planned = student_plan(run, case, recipe, more, part, LARGER)
        if not (steps := spared(run, planned, part.steps)):
            return None
        trained = distilled(run, case, part.model_copy(update={"steps": steps}), more, LARGER)
        return exported(run, case, device, more, trained, steps)

    rounds = Rounds(lost, plan, train, larger)
    return brought_inside(run, recipe.goal, first, part.steps, rounds)


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


def _name(family: str, params: Json) -> str:
    return json.dumps([family, params], sort_keys=True)
