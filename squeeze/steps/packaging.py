"""The last step: the picked candidate, proven to compute here what it says, with its story, as one package."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import artifact, bom, report, seal, verification
from squeeze.errors import MeasureError
from squeeze.front import TEACHER
from squeeze.goal import Lost, holds, holds_drop, show
from squeeze.steps import flips
from squeeze.steps.contract import contract_of, fulfilled
from squeeze.steps.device_files import OUTPUTS, device_files, judged_there, on_device
from squeeze.steps.golden_file import SAMPLES, npz
from squeeze.steps.judging import report_on
from squeeze.steps.manifest import describe
from squeeze.steps.proof import other_cpus

if TYPE_CHECKING:
    from squeeze.artifact import Artifact
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Array
    from squeeze.front import Candidate, Front
    from squeeze.run import At, Run
    from squeeze.spec import Recipe
    from squeeze.workdir import Step

logger = logging.getLogger(__name__)

_BY_HEART = "the teacher knows calibration samples by heart, so that evaluation samples chose as well as judge"

Json = dict[str, Any]  # Any: JSON


def package(
    run: Run,
    case: Case,
    device: Device,
    recipe: Recipe,
    front: Front,
    out: Path,
    command: list[str] | None,
    licence: str | None = None,
) -> Artifact:
    """Writes the package `out`: the picked model, its weights, golden outputs, manifest, report and bill of materials;
    and verifies it. licence: of the model, as SPDX spells it."""
    while True:
        front, golden = _proven(run, case, device, front)
        picked = front.pick()
        measurements, evaluated = report_on(run, case, device, front, picked)
        again = _judged_again(case, front, evaluated)
        if again is None and not _misjudged(case, front, picked, evaluated):
            break
        front = again or front.without(picked.name)
    # A device with a runtime of its own is no x86 CPU, or computes by other kernels than ours.
    cpus = other_cpus(run, case, device, picked, evaluated) if device.runtime is None else None
    found = evaluated.result["candidates"]
    there = on_device(run, case, device, picked)
    promise = contract_of(case, device)
    last = fulfilled(
        run, case, device, recipe, measurements, found[picked.name]["drops"], picked.name
    )
    model = promise.written(picked.shipped.read_bytes(), last)
    onnx = {
        "drop_onnx": found[picked.name]["drop"],
        "metric_onnx": measurements[picked.name].metric,
    }
    if there is not None:
        measurements, found = judged_there(there, picked, measurements, found)
    answers = flips.answers_on_the_way(case, front, picked, evaluated, there)
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        file = Path(folder) / seal.MODEL
        file.write_bytes(model)
        manifest = describe(
            run,
            case,
            device,
            recipe,
            front,
            file=file,
            contract=promise.to_json(last),
            measurements=measurements,
            found=found,
            onnx=onnx,
            there=None if there is None else there.result,
            cpus=cpus,
            flips=None if answers is None else flips.changes(case, answers),
            name=out.name,
            command=command or [],
            licence=licence,
        )
    files = {
        seal.MODEL: model,
        seal.GOLDEN: _golden(golden, there),
        seal.REPORT: report.render(manifest).encode(),
    }
    if answers is not None:
        files[flips.FILE] = flips.table(case, answers)
    if case.data.text is not None:
        files[seal.TOKENIZER] = case.data.text.tokenizer
    if picked.net.weights is not None:
        files[seal.WEIGHTS] = picked.net.weights.read_bytes()
    if there is not None:
        files |= device_files(there, taken={*files, seal.BOM})
    files[seal.BOM] = bom.render(manifest, files)
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


def _misjudged(case: Case, front: Front, picked: Candidate, evaluated: Step) -> bool:
    """Whether a student that was held against less than the teacher's score (`Case.by_heart`) loses more than it may on
    the evaluate split, where another candidate may lose less: it is not what it was taken for."""
    lost = Lost.of(evaluated.result["candidates"][picked.name])
    if not case.judging(picked.net).by_heart or holds(front.goal, lost):
        return False
    if not front.without(picked.name).met():
        return False
    said = show("drop", lost.drop)
    if holds_drop(front.goal, lost.drop) and lost.class_drop is not None:
        said = show("class_drop", lost.class_drop)
    logger.warning("'%s' is not shipped: %s on the evaluate split", picked.name, said)
    return True


def _judged_again(case: Case, front: Front, evaluated: Step) -> Front | None:
    """The front as the evaluate split judges it, where no candidate is inside the goal on a calibrate split that the
    teacher knows by heart, and one is on new samples. What a network with some of the teacher's weights still knows of
    them cannot be told from what it learned, so that on the calibrate split it loses more than anywhere else."""
    if not case.by_heart or front.met():
        return None
    lost = {name: Lost.of(found) for name, found in evaluated.result["candidates"].items()}
    again = front.judged_again(lost, _BY_HEART)
    if not again.met():
        return None
    logger.warning("no candidate is inside the goal on the calibrate split: %s", _BY_HEART)
    return again


def _golden(golden: Step, there: Step | None) -> bytes:
    """The golden file, with what the device's own file gives for the same samples."""
    known = golden.path / seal.GOLDEN
    if there is None or not (there.path / OUTPUTS).is_file():
        return known.read_bytes()
    arrays: dict[str, Array] = {}
    for path, side in ((known, ""), (there.path / OUTPUTS, verification.DEVICE)):
        with np.load(path, allow_pickle=False) as stored:
            arrays |= {f"{side}{name}": stored[name] for name in stored}
    return npz(arrays)


def keep_golden(at: At, *, device: Device, candidate: Candidate, case: Case) -> Json:
    """Writes `golden.npz`, and says whether the file computes the same in all the ways in which it may be run."""
    split, written = case.data.calibrate, case.as_written()
    inputs = case.data.feed(split, 0, SAMPLES)
    takes = written.data.feed(split, 0, SAMPLES)
    known = verification.Golden(
        takes,
        verification.answers(candidate.shipped, takes, written.interface),
        verification.answers(candidate.net.file, inputs, case.interface),
        {} if case.embeds else case.data.raw(case.interface, split, SAMPLES),
        case.data.texts(split, SAMPLES),
    )
    (at.folder / seal.GOLDEN).write_bytes(npz(known.arrays()))
    checks = verification.recompute(candidate.shipped, known, written.interface)
    failed = [f"{c.what}: {c.found}" for c in checks if not c.ok]
    if failed:
        return {"summary": f"'{candidate.name}' is not shipped: {'; '.join(failed)}", "ok": False}
    ways = ", ".join(verification.WAYS)
    return {"summary": f"'{candidate.name}' computes the same {ways}", "ok": True}


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
