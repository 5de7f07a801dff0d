"""A searched student that learned from the teacher. No key of a training holds a device: all devices share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.steps.assisting import assisted
from squeeze.steps.float_student import distilled, exported
from squeeze.steps.inheriting import inheriting_student, inherits
from squeeze.steps.masking import masked_student
from squeeze.steps.planning_students import student_part
from squeeze.steps.searched_on import searched_inside
from squeeze.steps.searching import enough, searched, unlike_families
from squeeze.steps.shrinking import made_smaller, shrunk
from squeeze.steps.slicing import sliced_student

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.net import FloatNet
    from squeeze.run import Run
    from squeeze.spec import Recipe


def student(
    run: Run, case: Case, device: Device, net: FloatNet, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The trained student as a float network; None, with the reason in the log, when none is wanted.

    It is a part of a teacher that is a transformer or of a network that was trained before, the teacher made smaller,
    or one whose architecture was searched and whose weights begin anew, as `search.start` says. A searched one that was
    trained for another device of this compile serves this one too, unless a limit of the goal on latency or bytes could
    ask for a smaller one.
    """
    if why := enough(recipe, case, front):
        run.skip("search", why)
        return None
    if run.supernet is not None and run.supernet.sliced:
        return sliced_student(run, case, device, recipe, front)
    if inherits(run, case, recipe):
        return inheriting_student(run, case, device, recipe, front)
    if recipe.start != "anew":
        smaller = made_smaller(run, case, device, recipe, front)
        if smaller is not None:
            # Where there is no time for it there is none for one that begins anew, whose training is longer.
            return shrunk(run, case, recipe, front, smaller)
        if recipe.start == "inherit":
            return None
    if why := unlike_families(recipe, case):
        run.skip("search", why)
        return None
    goal = recipe.goal
    shared = goal.max_latency_ms is None and goal.max_bytes is None and run.found
    if shared:
        run.skip("search", "the student of the first target serves this one too")
        result = run.found[0]
    else:
        result = searched(run, case, device, recipe, front)
        run.found.append(result)
    if result.arch is None:
        return None
    # Who runs with which panel, and which teacher answers; what is judged stays with the case.
    taught_run, taught = assisted(run, case, recipe, result.arch)
    before = masked_student(run, case, recipe, result.arch)
    part = student_part(taught_run, taught, recipe, result.arch, front)
    if part is None:
        return None
    trained = distilled(taught_run, taught, part, result.arch, before=before)
    first = exported(run, case, device, result.arch, trained, part.steps)
    found = searched_inside(run, case, device, recipe, result, first)
    story = {"search": result.to_json(), "training": found.trained.result["history"]}
    return found.net(case, "student", story)
