"""A student of a convolutional teacher that is a part of one weight-sharing network, for device after device.

`squeeze search --supernet` trains the network; no key of a training holds a device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.net import FloatNet
from squeeze.steps.planning import after_student
from squeeze.steps.searching import costs_asked, wished
from squeeze.steps.shrinking import distilled_child
from squeeze.steps.shrinking_work import CHILD
from squeeze.steps.slicing_work import pick_slice

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.inheriting_work import Kept


def sliced_student(
    run: Run, case: Case, device: Device, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The part of the network of this run that fits `device`, trained; None, with the reason in the log, where none
    is inside the goal."""
    given = run.supernet
    assert given is not None
    wanted = recipe.supernet.space
    spaces: dict[str, tuple[Kept, Kept]] = {
        name: pair
        for name, pair in given.spaces.items()
        if name == wanted or wanted not in given.spaces
    }
    found = run.step(
        "pick",
        pick_slice,
        measured_on=device,
        case=case.blind(),
        inherited=given.inherited,
        spaces=spaces,
        part=wished(recipe, device).model_copy(update={"bits": 8}),
        quantising=recipe.quant,
        goal=costs_asked(recipe.goal, front.beside_bytes),
        threads=run.threads,
    )
    if "digest" not in found.result:
        return None
    child = FloatNet("shrunk", found.path / CHILD, found.result["digest"], case.interface)
    further = recipe.supernet.further
    ahead = after_student(recipe)
    return distilled_child(run, case, recipe, front, child, further, "supernet.further", ahead)
