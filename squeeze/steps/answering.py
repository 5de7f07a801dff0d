"""What the teacher says of the data that something is trained with, and why it may say nothing that can be learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import guides
from squeeze.guides.views import Views
from squeeze.losses import needs
from squeeze.spec import DistillPart
from squeeze.steps.training import padding_of

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.run import At, Run
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def untrainable(case: Case) -> str:
    """Why nothing can be trained towards what this teacher says; empty where it can."""
    inputs, outputs = case.interface.inputs, case.interface.outputs
    if len(outputs) != 1:
        return f"training needs a model with one output, and this one has {len(outputs)}"
    if case.data.states:
        return f"training needs samples that are apart, and '{next(iter(case.data.states))}' is of the one before"
    if other := next((spec for spec in inputs if spec.batch_axis != 0), None):
        return f"training needs inputs with the batch as their first axis, and this one has {other}"
    if len(outputs[0].shape) != 1 or outputs[0].batch_axis != 0:
        sizes = ", ".join(map(str, outputs[0].shape))
        return f"training needs an output [n, c], and a sample of '{outputs[0].name}' is [{sizes}]"
    return ""


def answered(run: Run, case: Case, part: DistillPart) -> Step:
    """The step that holds what the teacher says of views of the fit split."""
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
) -> Json:
    """Writes the teacher's answers."""
    guides.cache_answers(
        teacher,
        data,
        DistillPart(views=views, augment=augment),
        seed=seed,
        threads=threads,
        folder=at.folder,
        progress=at.progress,
        taps=taps,
        padding=padding_of(teacher, data),
    )
    count = Views(data, DistillPart(views=views, augment=augment), seed).count
    seen = f"{count} view{'s' if count > 1 else ''}"
    return {"summary": f"the teacher saw {seen} of {len(data.fit):,} samples"}
