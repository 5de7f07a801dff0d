"""A student in float: the steps that train it and write its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze.steps.answering import answered
from squeeze.steps.distilling_work import distil
from squeeze.steps.exporting import export_student

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import Run
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.workdir import Step


@dataclass(frozen=True)
class FloatStudent:
    """A student by now: its weights, their float graph, and the steps of all its training."""

    arch: ArchSpec
    trained: Step
    exported: Step
    steps: int


def distilled(
    run: Run,
    case: Case,
    part: DistillPart,
    arch: ArchSpec,
    name: str = "distill",
    before: Step | None = None,
) -> Step:
    """The step `name` with a student's trained float weights (`weights.safetensors`) and `history`. before: one that
    it goes on from."""
    return run.step(
        name,
        distil,
        answers=answered(run, case, part),
        arch=arch,
        data=case.data.blind(),
        part=part,
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
        before=before,
    )


def exported(
    run: Run, case: Case, device: Device, arch: ArchSpec, trained: Step, steps: int
) -> FloatStudent:
    """A student that was trained, as a float graph for `device`."""
    made = run.step(
        "export",
        export_student,
        trained=trained,
        arch=arch,
        case=case.blind(),
        opset=device.numerics.opset,
    )
    return FloatStudent(arch, trained, made, steps)
