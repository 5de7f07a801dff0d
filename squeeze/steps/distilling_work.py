"""The work of a distillation: it sees the answers, the data and what its recipe part says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.seal import WEIGHTS

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.run import At
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.steps.inheriting_work import Kept
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


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
    before: Kept | None = None,
) -> Json:
    """Trains a student on the answers: a fresh one, or that of the step `before` further."""
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
        begin=None if before is None else before.path / WEIGHTS,
    )
    save_file(found.module.state_dict(), at.folder / WEIGHTS)
    return {"summary": found.summary, "history": found.history}
