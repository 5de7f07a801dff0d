"""A network made of the teacher by replacing its parts, each by something cheaper that was fitted for its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.budget import Ahead
from squeeze.net import FloatNet
from squeeze.steps.answering import answered, untrainable
from squeeze.steps.fitting_work import fit_pieces, plan_pieces
from squeeze.steps.planning import after_student, planned, spared
from squeeze.steps.puzzling_work import parts_or_why, piece_together
from squeeze.steps.searching import costs_asked, enough, wished
from squeeze.steps.shrinking import STEPS, distilled_child
from squeeze.steps.shrinking_work import ALIGN, CHILD

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front
    from squeeze.run import Run
    from squeeze.spec import PuzzlePart, Recipe
    from squeeze.workdir import Step

NAME, PIECES = "puzzle", "pieces"
# This network and the student, which is planned when this one has its time.
_AMONG = 2


def puzzled(
    run: Run, case: Case, device: Device, net: FloatNet, recipe: Recipe, front: Front
) -> FloatNet | None:
    """`net`, the teacher's own, with parts replaced so that it fits `device`, trained; None, with the reason in the
    log, where not wanted, not possible, or where no choice of replacements is inside the bounds."""
    if not recipe.puzzle.enabled:
        return None
    base = front.candidates["kept-float"]
    count, why = 0, enough(recipe, case, front)
    if not why:
        several = len(case.interface.inputs) > 1
        refused = "it has more than one input" if several else untrainable(case)
        if not refused:
            example = case.data.feed(case.data.calibrate, 0, 2)
            count, refused = parts_or_why(graph.load(base.file), case.interface, example)
        why = refused and f"no part of the teacher can be replaced: {refused}"
    if why:
        run.skip(NAME, why)
        return None
    part = _part(run, case, device, recipe, base)
    if part is None:
        return None
    pieces = fitted(run, case, device, part, base, count)
    found = run.step(
        NAME,
        piece_together,
        measured_on=device,
        base=base,
        case=case.blind(),
        pieces=pieces,
        part=wished(recipe, device).model_copy(update={"bits": 8}),
        quantising=recipe.quant,
        goal=costs_asked(recipe.goal, front.beside_bytes),
        threads=run.threads,
    )
    if "digest" not in found.result:
        return None
    child = FloatNet("puzzle", found.path / CHILD, found.result["digest"], net.interface)
    steps = recipe.shrink_steps
    ahead = _ahead(recipe)
    return distilled_child(run, case, recipe, front, child, steps, STEPS, ahead, _AMONG)


def fitted(
    run: Run, case: Case, device: Device, part: PuzzlePart, base: Candidate, count: int
) -> tuple[Step, ...]:
    """The steps with the replacements of `count` parts, one of each, so that a killed run goes on with the next part.
    Their keys have no device, only the width that its channels come in."""
    return tuple(
        run.step(
            PIECES,
            fit_pieces,
            base=base,
            case=case.blind(),
            index=index,
            part=part,
            align=_align(device),
            seed=run.seed,
            threads=run.threads,
        )
        for index in range(count)
    )


def _part(
    run: Run, case: Case, device: Device, recipe: Recipe, base: Candidate
) -> PuzzlePart | None:
    """How replacements are fitted; None, with the reason in the log, where there is no time for them."""
    part = recipe.puzzle
    if run.budget is None or not part.steps:
        return part
    made = planned(
        run,
        plan_pieces,
        PIECES,
        ahead=_ahead(recipe),
        among=_AMONG,
        base=base,
        case=case.blind(),
        part=part,
        align=_align(device),
        following=recipe.shrink_steps,
        distill=recipe.distill,
        answers=answered(run, case, recipe.distill),
    )
    steps = spared(run, made, part.steps)
    return part.model_copy(update={"steps": steps}) if steps else None


def _ahead(recipe: Recipe) -> Ahead:
    """The student and what is made of it: trained in the time that is left beside this one."""
    return Ahead(networks=1 + after_student(recipe).networks)


def _align(device: Device) -> int:
    return math.lcm(ALIGN, device.target.numerics.width_alignment)
