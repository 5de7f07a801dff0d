"""A network in float that was trained as a torch module: the steps that train it and write its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.net import FloatNet, Origin
from squeeze.seal import WEIGHTS
from squeeze.steps.answering import answered
from squeeze.steps.distilling_work import distil
from squeeze.steps.exporting import STUDENT, export_student

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import Run
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.steps.inheriting_work import Kept
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class FloatStudent:
    """A student by now: its weights, their float graph, and the steps of all its training."""

    arch: ArchSpec
    trained: Kept
    exported: Step
    steps: int

    def net(self, case: Case, origin: Origin, story: Json) -> FloatNet:
        """As a float network. story: of its training, beside the steps."""
        return FloatNet(
            origin,
            self.exported.path / STUDENT,
            self.exported.result["digest"],
            case.interface,
            arch=self.arch,
            weights=self.trained.path / WEIGHTS,
            story={**story, "steps": self.steps},
        )


def distilled(
    run: Run,
    case: Case,
    part: DistillPart,
    arch: ArchSpec,
    name: str = "distill",
    before: Kept | None = None,
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
    run: Run, case: Case, device: Device, arch: ArchSpec, trained: Kept, steps: int
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
