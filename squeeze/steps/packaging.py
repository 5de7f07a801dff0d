"""The last step: the picked candidate, proven to compute here what it says, with its story, as one package."""

from __future__ import annotations

import io
import logging
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import artifact, report, verification
from squeeze.errors import MeasureError
from squeeze.front import TEACHER
from squeeze.steps.judging import report_on
from squeeze.steps.manifest import describe
from squeeze.steps.proof import other_cpus

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.artifact import Artifact
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Array
    from squeeze.front import Candidate, Front
    from squeeze.run import At, Run
    from squeeze.spec import Recipe
    from squeeze.workdir import Step

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON
GOLDEN_SAMPLES = 8
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def package(
    run: Run,
    case: Case,
    device: Device,
    recipe: Recipe,
    front: Front,
    out: Path,
    command: list[str] | None,
) -> Artifact:
    """Writes the package `out`: the picked model, its weights, golden outputs, manifest and report; and verifies it."""
    front, golden = _proven(run, case, device, front)
    picked = front.pick()
    measurements, evaluated = report_on(run, case, device, front, picked)
    cpus = other_cpus(run, case, device, picked, evaluated)
    manifest = describe(
        run,
        case,
        device,
        recipe,
        front,
        measurements=measurements,
        found=evaluated.result["candidates"],
        cpus=cpus,
        name=out.name,
        command=command or [],
    )
    files = {
        artifact.MODEL: picked.file.read_bytes(),
        artifact.GOLDEN: (golden.path / artifact.GOLDEN).read_bytes(),
        artifact.REPORT: report.render(manifest).encode(),
    }
    if picked.net.weights is not None:
        files[artifact.WEIGHTS] = picked.net.weights.read_bytes()
    made = artifact.write(out, manifest, files)
    run.progress.begin("verify")
    checks = verification.verify(out)
    run.progress.end(f"{sum(c.ok for c in checks)} of {len(checks)} checks hold", 0.0)
    if failed := [f"{c.what}: {c.found}" for c in checks if not c.ok]:
        raise MeasureError(
            f"{out}: the package was written, and `squeeze verify` does not accept it: {'; '.join(failed)}; do not "
            "ship it, and please report this"
        )
    return made


def keep_golden(at: At, *, device: Device, candidate: Candidate, case: Case) -> Json:
    """Writes `golden.npz`, and says whether the file computes the same in all the ways in which it may be run."""
    inputs = case.data.feed(case.data.calibrate, 0, GOLDEN_SAMPLES)
    known = verification.golden(candidate.file, candidate.net.file, inputs, case.interface)
    (at.folder / artifact.GOLDEN).write_bytes(npz(known.arrays()))
    checks = verification.recompute(candidate.file, known, case.interface)
    failed = [f"{c.what}: {c.found}" for c in checks if not c.ok]
    if failed:
        return {"summary": f"'{candidate.name}' is not shipped: {'; '.join(failed)}", "ok": False}
    ways = ", ".join(verification.WAYS)
    return {"summary": f"'{candidate.name}' computes the same {ways}", "ok": True}


def npz(arrays: dict[str, Array]) -> bytes:
    """Like np.savez, but with the same bytes for the same arrays: no time stamps."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH), member.getvalue())
    return buffer.getvalue()


def golden_of(run: Run, case: Case, device: Device, candidate: Candidate) -> Step:
    """The step with the golden outputs of a candidate; `result["ok"]` says whether it computes the same in all ways."""
    return run.step(
        "golden", keep_golden, measured_on=device, candidate=candidate, case=case.blind()
    )


def _proven(run: Run, case: Case, device: Device, front: Front) -> tuple[Front, Step]:
    """The front whose pick passes what `verify` asks, and the step with its golden outputs."""
    while True:
        picked = front.pick()
        step = golden_of(run, case, device, picked)
        if step.result["ok"] or picked.form == TEACHER:
            return front, step
        logger.warning("%s; please report this", step.result["summary"])
        front = front.without(picked.name)
