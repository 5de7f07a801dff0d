"""A student of a convolutional teacher that is a part of one weight-sharing network, for device after device.

`squeeze search --supernet` trains the network; no key of a training holds a device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.errors import UnsupportedError
from squeeze.net import FloatNet
from squeeze.steps.answering import answered, untrainable
from squeeze.steps.inheriting_work import Kept
from squeeze.steps.searching import costs_asked, wished
from squeeze.steps.sharing import APART
from squeeze.steps.shrinking import distilled_child
from squeeze.steps.shrinking_work import CHILD
from squeeze.steps.slicing_work import (
    inherit_slices,
    pick_slice,
    score_slices,
    slices_of,
    train_slices,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
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


def sliced_student(
    run: Run, case: Case, device: Device, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The part of the network of this run that fits `device`, trained; None, with the reason in the log, where none
    is inside the goal."""
    given = run.supernet
    assert given is not None
    part = recipe.supernet
    spaces: dict[str, tuple[Kept, Kept]] = dict(given.spaces.items())
    named: dict[str, tuple[Kept, Kept]] = {
        name: pair for name, pair in spaces.items() if name == part.space
    }
    found = run.step(
        "pick",
        pick_slice,
        measured_on=device,
        case=case.blind(),
        inherited=given.inherited,
        spaces=named or spaces,
        part=wished(recipe.search, device),
        quantising=recipe.quant,
        goal=costs_asked(recipe.goal, front),
        threads=run.threads,
    )
    if "digest" not in found.result:
        return None
    child = FloatNet("shrunk", found.path / CHILD, found.result["digest"], case.interface)
    return distilled_child(run, case, recipe, front, child, part.further, "supernet.further")
