"""The measured truth about candidates: latency in the same rounds, scores on the split that nothing was chosen by."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import measure, metrics, runtimes
from squeeze.account import complexity, file_bytes
from squeeze.account.sizes import is_float
from squeeze.errors import MeasureError
from squeeze.front import TEACHER, Candidate, Front, Original, Timed
from squeeze.goal import Lost
from squeeze.measure import Evaluated
from squeeze.metrics import per_class
from squeeze.metrics.calibration_error import calibration_error
from squeeze.spec import Measurement, OutputScore
from squeeze.steps.contract import contract_of
from squeeze.steps.costing import time_there
from squeeze.steps.embedding import as_written
from squeeze.steps.patience import REPORTED_SECONDS, RUNS
from squeeze.steps.refusals import refuse_unsaid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Sized

    from numpy.typing import NDArray

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.metrics import Reading
    from squeeze.run import At, Run
    from squeeze.spec import Goal
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def front(run: Run, case: Case, device: Device, goal: Goal) -> Front:
    """A front that has the teacher as it is, and times its candidates on `device`."""

    def clock(candidates: tuple[Candidate, ...]) -> Mapping[str, Timed]:
        step = run.step(
            "measure",
            time_all,
            measured_on=device,
            repeated=all(candidate.net.origin == "kept" for candidate in candidates),
            candidates=candidates,
            case=case.blind(),
        )
        timed = timed_by(step)
        refuse_unsaid(
            goal, device.name, [timed[c.name].reached(Lost(0.0), 0, 32) for c in candidates]
        )
        return timed

    def finish(candidates: tuple[Candidate, ...]) -> Sequence[Candidate]:
        return as_written(run, case, candidates)

    made = Front(goal, clock, contract_of(case, device).size_bytes, finish if case.embeds else None)
    net, original = case.net, _original(case)
    made.add(Candidate(net, TEACHER, net.file, net.digest, 0.0, original=original, class_drop=0.0))
    return made


def _original(case: Case) -> Original | None:
    """The user's own file; None where that is no ONNX. It does not run where the runtime has no kernels for its types,
    or where it takes other tensors: a batch that is fixed to several."""
    teacher = case.teacher
    if teacher.kind != "onnx":
        return None
    path, sample = Path(teacher.source), case.data.feed(case.data.calibrate, 0, 1)
    runs = True
    try:
        runtimes.infer(runtimes.session(path), sample, case.interface)
        complexity(path, shapes=case.interface.run_shapes)
    except MeasureError:
        runs = False
    return Original(path, teacher.digest, file_bytes(path), runs)


def time_all(at: At, *, device: Device, candidates: tuple[Candidate, ...], case: Case) -> Json:
    """Latency of all candidates, interleaved, and how many times the teacher takes what each takes."""
    at.progress.update(0, 0, "candidates take turns")
    sample = case.data.feed(case.data.calibrate, 0, 1)
    if device.runtime is not None:
        there = time_there(device, candidates, sample, case.interface)
        return {
            "summary": f"{_counted(there)} by {device.runtime.version}",
            "timed": {name: asdict(one) for name, one in there.items()},
        }
    written = case.as_written()
    stored = written.data.feed(written.data.calibrate, 0, 1)
    found = measure.latency_each(
        {
            c.name: (c.measured, sample, case.interface)
            if c.form == TEACHER
            else (c.measured, stored, written.interface)
            for c in candidates
        },
        threads=device.threads,
        runs=RUNS,
        max_seconds=REPORTED_SECONDS,
    )
    timed = {}
    for name, latency in found.items():
        against = measure.compared(found[TEACHER], latency)
        timed[name] = asdict(
            Timed(
                latency.p50_ms,
                latency.p90_ms,
                latency.p99_ms,
                latency.runs,
                against.ratio,
                against.ratio_p10,
                against.ratio_p90,
                against.steady,
            )
        )
    fastest = max(t["ratio"] for t in timed.values())
    steady = all(t["steady"] for t in timed.values())
    return {
        "summary": f"{_counted(timed)}, the fastest {fastest:.1f}x the teacher's speed"
        + ("" if steady else "; not steady, the machine is busy"),
        "timed": timed,
    }


def timed_by(step: Step) -> dict[str, Timed]:
    """What a step of `time_all` found. Unless it is steady it is used once: the next compile times anew, when the
    machine may be quiet."""
    timed = {name: Timed(**found) for name, found in step.result["timed"].items()}
    if not all(one.steady for one in timed.values()):
        shutil.rmtree(step.path, ignore_errors=True)
    return timed


def report_on(
    run: Run, case: Case, device: Device, made: Front, picked: Candidate
) -> tuple[dict[str, Measurement], Step]:
    """Every candidate as it is reported beside the one that was `picked`, by name; and the step with what each does on
    the evaluate split."""
    candidates = tuple(made.candidates.values())
    step = run.step(
        "evaluate",
        evaluate_all,
        measured_on=device,
        candidates=candidates,
        case=case,
        threads=run.threads,
    )
    timed = made.timed()
    measurements = {
        name: Measurement.model_validate(
            {
                **one["measurement"],
                "file_bytes": _bytes(made.candidates[name]),
                "latency_p50_ms": timed[name].p50_ms,
                "latency_p90_ms": timed[name].p90_ms,
                "latency_p99_ms": timed[name].p99_ms,
                "runs": timed[name].runs,
                "source": timed[name].source,
                **_memory_there(timed[name]),
            }
        )
        for name, one in step.result["candidates"].items()
    }
    drops = step.result["candidates"][picked.name]["drops"]
    return {**measurements, TEACHER: _beside(measurements[TEACHER], drops)}, step


def _bytes(candidate: Candidate) -> int:
    """As they are reported: the teacher is what people have, all others are what would be written."""
    return candidate.bare_bytes if candidate.form == TEACHER else candidate.bytes


def _memory_there(timed: Timed) -> Json:
    """Memory as the device's own runtime says it, and the bytes of what it loads, before those of the ONNX file."""
    if not timed.cost:
        return {}
    reached = timed.reached(Lost(0.0), 0, 32)
    loaded = {"file_bytes": reached.bytes} if reached.bytes else {}
    return {"peak_ram_bytes": reached.ram_bytes, **loaded}


def _beside(teacher: Measurement, drops: list[float]) -> Measurement:
    """The teacher, with the output that is judged of a candidate with these drops: nothing is lost of the teacher
    itself, so that any of its outputs could stand for it."""
    one = teacher.outputs[judged_of(drops)]
    shown = {"metric": one.value, "metric_name": one.metric, "interval": one.interval}
    return teacher.model_copy(update=shown)


def judged_of(drops: Sequence[float]) -> int:
    """The output that stands for all: the first of those that lose most."""
    return max(range(len(drops)), key=drops.__getitem__)


def evaluate_all(
    at: At, *, device: Device, candidates: tuple[Candidate, ...], case: Case, threads: int
) -> Json:
    """Scores of all outputs of all candidates on the evaluate split, with memory, bytes and operations of each file.

    Writes the outputs of quantised candidates, which `evaluated_as` reads, and where answers are classes those of each
    candidate (`answers_of`).
    """
    split, reference = case.data.evaluate, case.reference("evaluate")
    beside = measure.beside(case.data, split)
    before = metrics.scores(case.readings, reference, split.y, reference, beside)
    written = case.as_written()
    found: Json = {}
    for done, candidate in enumerate(candidates):
        at.progress.update(done, len(candidates), "candidates")
        files = _files(at.folder, candidate, case)
        got = (
            Evaluated(  # asked already
                before,
                reference,
                tuple(
                    metrics.interval(reading, reference, split.y, reference, beside)
                    for reading in case.readings
                ),
            )
            if candidate.form == TEACHER
            else measure.evaluate(
                candidate.shipped,
                written.data,
                split,
                case.readings,
                interface=written.interface,
                reference=reference,
                threads=threads,
                files=files,
                intervals=True,
                progress=at.progress,
            )
        )
        drops = metrics.drops(before, got.scores)
        worst = judged_of(drops)
        outputs = [
            OutputScore(
                output=score.output,
                metric=score.metric,
                value=score.value,
                interval=interval,
            )
            for score, interval in zip(got.scores, got.intervals, strict=True)
        ]
        asked = case if candidate.form == TEACHER else written
        measured = measure.measurement(
            candidate.measured,
            asked.data.feed(split, 0, 1),
            asked.interface,
            device.facts,
            outputs=tuple(outputs),
            judged=worst,
            n=len(split),
            threads=device.threads,
        )
        found[candidate.name] = {
            "measurement": measured,
            "drop": drops[worst],
            "drops": list(drops),
            "agreement": _agreement(case.readings[worst], got.outputs, reference),
            **_by_class(case, got.outputs, at.folder / _answers_file(candidate.name)),
        }
        if is_float(candidate.file):
            for path in files.values():
                path.unlink(missing_ok=True)
    return {"summary": f"{_counted(candidates)} on {len(split)} samples", "candidates": found}


def evaluated_as(step: Step, candidate: Candidate, case: Case) -> Evaluated:
    """What a step of `evaluate_all` found of a quantised candidate."""
    files, split = _files(step.path, candidate, case), case.data.evaluate
    outputs = {name: measure.opened(path) for name, path in files.items()}
    reference, beside = case.reference("evaluate"), measure.beside(case.data, split)
    found = metrics.scores(case.readings, outputs, split.y, reference, beside)
    return Evaluated(found, outputs)


def answers_of(step: Step, name: str) -> NDArray[np.int64] | None:
    """The class of each sample of the evaluate split, [n], as a step of `evaluate_all` found it of the candidate called
    so; None where answers are no classes."""
    file = step.path / _answers_file(name)
    return np.load(file, allow_pickle=False).astype(np.int64) if file.exists() else None


def _answers_file(name: str) -> str:
    return f"{name}-answers.npy"


def _by_class(case: Case, outputs: Feed, file: Path) -> Json:
    """What the class loses that loses most, and how far off confidences are; nothing where answers are no classes. Else
    writes them to `file`."""
    if not case.has_classes("evaluate"):
        return {"class_drop": None, "calibration_error": None}
    found, answers = by_class(case, outputs)
    np.save(file, answers.astype(np.int32))
    return found


def by_class(case: Case, outputs: Feed) -> tuple[Json, NDArray[np.int64]]:
    """class_drop and calibration_error of outputs for the evaluate split, whose answers are classes; and those, [n]."""
    output, y = case.readings[0].output, case.data.evaluate.y
    assert y is not None  # else there are no classes
    reference, labels = case.reference("evaluate")[output], per_class.labelled(y)
    before, after = (per_class.answered(x, reference) for x in (reference, outputs[output]))
    return {
        "class_drop": per_class.worst_class(before, after, labels).drop,
        "calibration_error": calibration_error(outputs[output], labels, reference),
    }, after


def _files(folder: Path, candidate: Candidate, case: Case) -> dict[str, Path]:
    """Where each output of a candidate is, by its name."""
    return {
        spec.name: folder / f"{candidate.name}-{i}.npy"
        for i, spec in enumerate(case.interface.outputs)
    }


def _agreement(reading: Reading, outputs: Feed, reference: Feed) -> float | None:
    """Share of samples for which the judged output chooses the teacher's class, in percent; None for no classes."""
    got = outputs[reading.output]
    if metrics.resolve(reading.metric).compares != "classes":
        return None
    return metrics.score("agreement", got, None, reference[reading.output])


def _counted(candidates: Sized) -> str:
    count = len(candidates)
    return f"{count} candidate{'' if count == 1 else 's'}"
