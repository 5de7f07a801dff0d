"""The steps of one network of a convolutional teacher that devices share: its own weights, the network, its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.errors import UnsupportedError
from squeeze.steps.answering import answered, untrainable
from squeeze.steps.inheriting_work import Kept
from squeeze.steps.sharing import APART
from squeeze.steps.slicing_work import (
    inherit_slices,
    score_slices,
    slices_of,
    train_slices,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.shrink.supernet.slices import Part
    from squeeze.spec import Recipe
    from squeeze.train.supernet.space import Name

Json = dict[str, Any]  # Any: JSON


def slices_from(run: Run, case: Case) -> Kept:
    """The step with the teacher's own weights, sorted. Raises UnsupportedError for a teacher that cannot be sliced."""
    several = len(case.interface.inputs) > 1
    why = "it has more than one input" if several else untrainable(case)
    if not why:
        found = run.step("inherit", inherit_slices, case=case.blind(), threads=run.threads)
        if "slices" in found.result:
            return found
        why = found.result["summary"]
    raise UnsupportedError(
        f"{case.teacher.source}: squeeze search --supernet takes a transformer (of texts or images) or a "
        f"convolutional network, and {why}"
    )


def sliced_network(
    run: Run, case: Case, inherited: Kept, recipe: Recipe, space: Name
) -> tuple[Kept, Kept]:
    """The steps with the weights of the network of a space, and with the loss of each of its parts."""
    trained = run.step(
        "supernet",
        train_slices,
        case=case.blind(),
        inherited=inherited,
        space=space,
        part=recipe.supernet.model_copy(update=APART),
        shrink=recipe.shrink.model_copy(update={"steps": 0}),  # of a part alone
        distill=recipe.distill,
        answers=answered(run, case, recipe.distill),
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )
    return trained, scored_parts(run, case, inherited, trained, slices_in(space, inherited))


def slices_in(space: Name, inherited: Kept) -> list[Part]:
    """All parts of a space, or those that are drawn of many."""
    from squeeze.shrink.supernet.space import parts

    return parts(space, slices_of(inherited))


def scored_parts(
    run: Run, case: Case, inherited: Kept, trained: Kept, parts: Sequence[Part]
) -> Kept:
    """The step with the loss of parts as they are cut out of `trained`."""
    return run.step(
        "parts",
        score_slices,
        case=case.blind(),
        inherited=inherited,
        trained=trained,
        parts=tuple(parts),
        threads=run.threads,
    )
