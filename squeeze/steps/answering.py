"""What the teacher says of the data that something is trained with, and why it may say nothing that can be learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import guides
from squeeze.guides.views import Views
from squeeze.losses import needs, space_of
from squeeze.spec import DistillPart
from squeeze.steps.training import padding_of

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.guides.panel import Panel
    from squeeze.losses.loss import Space
    from squeeze.run import At, Run
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


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


def space_of_answers(case: Case) -> Space:
    """What the outputs of a case with one output [n, c] are to losses."""
    data = case.data
    return space_of(
        case.teacher.output.shape[0],
        case.teacher.output_activation,
        data.metric or case.readings[0].metric,
        data.classes,
        valued=data.classes is None and data.fit.y is not None,
    )


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
