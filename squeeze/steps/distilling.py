"""A searched student that learned from the teacher. No key of a training holds a device: all devices share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import guides
from squeeze.guides.answers import coded_for
from squeeze.guides.views import Views
from squeeze.losses import needs
from squeeze.net import FloatNet
from squeeze.spec import DistillPart
from squeeze.steps.exporting import export_student
from squeeze.steps.inheriting import inheriting_student, inherits
from squeeze.steps.searching import enough, searched
from squeeze.steps.training import padding_of

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.guides.panel import Panel
    from squeeze.run import At, Run
    from squeeze.spec import ArchSpec, Recipe
    from squeeze.teacher import Teacher
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def student(
    run: Run, case: Case, device: Device, net: FloatNet, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The searched, trained student as a float network; None, with the reason in the log, when none is wanted.

    A student that was trained for another device of this compile serves this one too, unless a limit of the goal on
    latency or bytes could ask for a smaller one.
    """
    if why := enough(recipe, case, front):
        run.skip("search", why)
        return None
    if inherits(case):
        return inheriting_student(run, case, device, recipe, front)
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
    trained = distilled(run, case, recipe.distill, result.arch)
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
            "steps": recipe.distill.steps,
        },
    )


def untrainable(case: Case, *, maps: bool = False) -> str:
    """Why nothing can be trained towards what this teacher says; empty where it can. maps: whether outputs may be
    classes at places, which the metric of areas judges."""
    inputs, outputs = case.interface.inputs, case.interface.outputs
    if len(outputs) != 1:
        return f"training needs a model with one output, and this one has {len(outputs)}"
    if case.data.states:
        return f"training needs samples that are apart, and '{next(iter(case.data.states))}' is of the one before"
    if other := next((spec for spec in inputs if spec.batch_axis != 0), None):
        return f"training needs inputs with the batch as their first axis, and this one has {other}"
    judged = case.data.metric or next((reading.metric for reading in case.readings), None)
    placed = maps and judged == "miou" and len(outputs[0].shape) > 1 and outputs[0].shape[0] != 1
    if (len(outputs[0].shape) != 1 and not placed) or outputs[0].batch_axis != 0:
        sizes = ", ".join(map(str, outputs[0].shape))
        return f"training needs an output [n, c], and a sample of '{outputs[0].name}' is [{sizes}]"
    return ""


def refuse_codec(case: Case, recipe: Recipe) -> None:
    """Raises ConfigError for a codec that does not fit what the teacher says, before anything is searched."""
    if recipe.distill.codec != "full" and recipe.trains and not untrainable(case, maps=True):
        coded_for(recipe.distill.codec, case.teacher, case.data)


def answered(run: Run, case: Case, part: DistillPart) -> Step:
    """The step that holds what the teacher says of views of the fit split, or the panel that it is of."""
    beside: dict[str, Any] = {} if run.panel is None else {"panel": run.panel}
    # What is not said does not make other answers of those that are there.
    beside |= {} if part.codec == "full" else {"codec": part.codec}
    return run.step(
        "labels",
        answer,
        teacher=case.teacher,
        data=case.data.blind(),
        views=part.views,
        augment=part.augment,
        taps=tuple(sorted(needs(part.loss))),
        seed=run.seed,
        threads=run.threads,
        **beside,
    )


def answer(
    at: At,
    *,
    teacher: Teacher,
    data: Calib,
    views: int,
    augment: str,
    taps: tuple[str, ...],
    seed: int,
    threads: int,
    panel: Panel | None = None,
    codec: str = "full",
) -> Json:
    """Writes the teacher's answers, or those of the panel."""
    part = DistillPart(views=views, augment=augment, codec=codec)
    guides.cache_answers(
        teacher,
        data,
        part,
        seed=seed,
        threads=threads,
        folder=at.folder,
        progress=at.progress,
        taps=taps,
        padding=padding_of(teacher, data),
        panel=panel,
    )
    count = Views(data, part, seed).count
    seen = f"{count} view{'s' if count > 1 else ''}"
    who = "the teacher" if panel is None else f"{1 + len(panel.others)} teachers"
    kept = "" if codec == "full" else f", kept as {codec}"
    return {"summary": f"{who} saw {seen} of {len(data.fit):,} samples{kept}"}


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
