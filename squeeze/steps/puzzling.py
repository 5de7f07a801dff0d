"""A network made of the teacher by replacing its parts, each by something cheaper that was fitted for its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.net import FloatNet
from squeeze.steps.answering import untrainable
from squeeze.steps.puzzling_work import fit_pieces, parts_or_why, piece_together
from squeeze.steps.searching import costs_asked, enough, wished
from squeeze.steps.shrinking import distilled_child
from squeeze.steps.shrinking_work import ALIGN, CHILD

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.workdir import Step

NAME = "puzzle"


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
    pieces = fitted(run, case, device, recipe, base, count)
    found = run.step(
        NAME,
        piece_together,
        measured_on=device,
        base=base,
        case=case.blind(),
        pieces=pieces,
        part=wished(recipe.search, device),
        quantising=recipe.quant,
        goal=costs_asked(recipe.goal, front.beside_bytes),
        threads=run.threads,
    )
    if "digest" not in found.result:
        return None
    child = FloatNet("puzzle", found.path / CHILD, found.result["digest"], net.interface)
    return distilled_child(run, case, recipe, front, child, recipe.shrink.steps, "shrink.steps")


def fitted(
    run: Run, case: Case, device: Device, recipe: Recipe, base: Candidate, count: int
) -> tuple[Step, ...]:
    """The steps with the replacements of `count` parts, one of each, so that a killed run goes on with the next part.
    Their keys have no device, only the width that its channels come in."""
    align = math.lcm(ALIGN, device.target.numerics.width_alignment)
    return tuple(
        run.step(
            "pieces",
            fit_pieces,
            base=base,
            case=case.blind(),
            index=index,
            part=recipe.puzzle,
            align=align,
            seed=run.seed,
            threads=run.threads,
        )
        for index in range(count)
    )
