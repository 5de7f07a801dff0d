"""A searched student that learned from the teacher. No key of a training holds a device: all devices share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.net import FloatNet
from squeeze.steps.answering import answered
from squeeze.steps.exporting import export_student
from squeeze.steps.inheriting import inheriting_student, inherits
from squeeze.steps.planning import student_part
from squeeze.steps.searching import enough, searched, unlike_families
from squeeze.steps.shrinking import shrunk

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.run import At, Run
    from squeeze.spec import ArchSpec, DistillPart, Recipe
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def student(
    run: Run, case: Case, device: Device, net: FloatNet, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The trained student as a float network; None, with the reason in the log, when none is wanted.

    It is the teacher made smaller, or one whose architecture was searched and whose weights begin anew, as
    `search.start` says. A searched one that was trained for another device of this compile serves this one too, unless
    a limit of the goal on latency or bytes could ask for a smaller one.
    """
    if why := enough(recipe, case, front):
        run.skip("search", why)
        return None
    if inherits(case):
        return inheriting_student(run, case, device, recipe, front)
    start = recipe.search.start
    if start != "anew":
        smaller = shrunk(run, case, device, recipe, front)
        if smaller is not None or start == "inherit":
            return smaller
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
    part = student_part(run, case, recipe, result.arch, front)
    if part is None:
        return None
    trained = distilled(run, case, part, result.arch)
    made = run.step(
        "export",
        export_student,
        trained=trained,
        arch=result.arch,
        case=case.blind(),
        opset=device.numerics.opset,
    )
    return FloatNet(
        "student",
        made.path / "student.onnx",
        made.result["digest"],
        case.interface,
        arch=result.arch,
        weights=trained.path / "weights.safetensors",
        story={
            "search": result.to_json(),
            "training": trained.result["history"],
            "steps": part.steps,
        },
    )


def distilled(run: Run, case: Case, part: DistillPart, arch: ArchSpec) -> Step:
    """The step that holds the student's trained float weights (`weights.safetensors`) and `history`."""
    return run.step(
        "distill",
        distil,
        answers=answered(run, case, part),
        arch=arch,
        data=case.data.blind(),
        part=part,
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )


def distil(
    at: At,
    *,
    answers: Step,
    arch: ArchSpec,
    data: Calib,
    part: DistillPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Trains a fresh student on the answers."""
    from safetensors.torch import save_file

    from squeeze.train.student import train_student

    found = train_student(
        arch,
        data,
        part,
        answers=answers.path,
        seed=seed,
        threads=threads,
        compute=compute,
        folder=at.folder,
        progress=at.progress,
    )
    save_file(found.module.state_dict(), at.folder / "weights.safetensors")
    return {"summary": found.summary, "history": found.history}
