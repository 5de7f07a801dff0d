"""The files that a device with a runtime of its own loads: built, asked on the evaluate split, put into the package."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import measure, metrics
from squeeze.errors import UnsupportedError
from squeeze.measure.fixed_sizes import as_sized
from squeeze.measure.on_runtime import build_on, outputs_on
from squeeze.runtimes.inference import one_run
from squeeze.spec import OutputScore
from squeeze.steps.golden_file import SAMPLES, npz
from squeeze.steps.judging import by_class

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Array
    from squeeze.front import Candidate
    from squeeze.run import At, Run
    from squeeze.runtimes.runtime import Built
    from squeeze.spec import Measurement
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
# In the folder of the step: what the device loads, and what that gives for the samples of the golden file.
FILES, OUTPUTS = "files", "device.npz"
# The class of each sample of the evaluate split, where answers are classes.
ANSWERS = "answers.npy"
_LOST = ("drop", "drops", "class_drop", "calibration_error")
_FIRST = 64  # samples, by which the others are timed
_SAID_EACH_S = 10.0


def on_device(run: Run, case: Case, device: Device, candidate: Candidate) -> Step | None:
    """The step that builds what the device loads of a candidate, and asks it; None where that is the ONNX file."""
    if device.runtime is None:
        return None
    return run.step("device", build_and_ask, measured_on=device, candidate=candidate, case=case)


def build_and_ask(at: At, *, device: Device, candidate: Candidate, case: Case) -> Json:
    """Writes the device's files and what they give for the golden samples; scores that very file on the evaluate split.

    Where its answers cannot be had here, the result says why, and has no scores.
    """
    runtime = device.runtime
    assert runtime is not None  # else there is no such step
    at.progress.update(0, 0, f"{device.name}: building")
    inputs = one_run(case.data.feed(case.data.calibrate, 0, 1), case.interface)
    file = as_sized(runtime, candidate.file, inputs, at.folder / "sized.onnx")
    built = build_on(runtime, file, at.folder / FILES)
    result: Json = {
        "files": list(built.files),
        "notes": list(built.notes),
        "runtime": runtime.version,
        "paths": {name: str(path.relative_to(at.folder)) for name, path in _inside(built, at)},
    }
    data = case.data
    try:
        golden = outputs_on(runtime, built, data.feed(data.calibrate, 0, SAMPLES), case.interface)
        outputs = _answers(at, device, built, case)
    except UnsupportedError as e:
        return {
            **result,
            "summary": f"{', '.join(built.files)}; not asked: {e}",
            "not_asked": str(e),
        }
    (at.folder / OUTPUTS).write_bytes(npz(golden))
    outputs = measure.without_padding(outputs, case.data, case.data.evaluate, case.interface)
    scored = _scored(case, outputs)
    if case.has_classes("evaluate"):
        known, answers = by_class(case, outputs)
        scored |= known
        np.save(at.folder / ANSWERS, answers)
    one = scored["outputs"][scored["judged"]]
    by = runtime.abilities.answers_by or runtime.version
    said = f"{one['metric']} {one['value']:.2f} by {by}"
    return {**result, **scored, "summary": f"{', '.join(built.files)}; {said}"}


def _answers(at: At, device: Device, built: Built, case: Case) -> dict[str, Array]:
    """Outputs for the evaluate split, name -> [n, ...]; the samples of some seconds at a time, so that it can be said
    how long the rest takes."""
    runtime, data, split, interface = device.runtime, case.data, case.data.evaluate, case.interface
    assert runtime is not None
    if interface.batch_size not in (None, 1):
        at.progress.update(0, 0, f"{device.name}: {len(split)} samples")
        return outputs_on(runtime, built, data.feed(split), interface)
    parts: list[dict[str, Array]] = []
    done, size, began = 0, _FIRST, time.monotonic()
    while done < len(split):
        at.progress.update(done, len(split), f"samples asked of {device.name}")
        parts.append(outputs_on(runtime, built, data.feed(split, done, done + size), interface))
        done = min(done + size, len(split))
        size = max(_FIRST, int(_SAID_EACH_S * done / (time.monotonic() - began)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _inside(built: Built, at: At) -> list[tuple[str, Path]]:
    """The files that were written for the device; the ONNX file itself is in the package anyway."""
    return [(n, path) for n, path in built.files.items() if path.is_relative_to(at.folder)]


def answers_there(step: Step | None) -> NDArray[np.int64] | None:
    """The class that the device's own file answers each sample of the evaluate split with, [n]; None where that was not
    had, or is no class."""
    if step is None or not (file := step.path / ANSWERS).exists():
        return None
    return np.asarray(np.load(file, allow_pickle=False), dtype=np.int64)


def device_files(step: Step, taken: Collection[str]) -> dict[str, bytes]:
    """What the device loads, by its name in the package; not what is `taken` there already."""
    return {
        name: (step.path / path).read_bytes()
        for name, path in step.result["paths"].items()
        if name not in taken
    }


def judged_there(
    step: Step, candidate: Candidate, measurements: Mapping[str, Measurement], found: Json
) -> tuple[dict[str, Measurement], Json]:
    """The same, but the candidate is judged by what the device's own file answers, where that was had."""
    known = dict(measurements)
    if "outputs" not in step.result:
        return known, found
    outputs, judged = step.result["outputs"], step.result["judged"]
    one = outputs[judged]
    known[candidate.name] = known[candidate.name].model_copy(
        update={
            "metric": one["value"],
            "metric_name": one["metric"],
            "interval": None if one["interval"] is None else tuple(one["interval"]),
            "outputs": tuple(OutputScore.model_validate(o) for o in outputs),
        }
    )
    drops = {k: step.result[k] for k in _LOST if k in step.result}
    return known, {**found, candidate.name: {**found[candidate.name], **drops}}


def _scored(case: Case, outputs: Mapping[str, Array]) -> Json:
    split, reference = case.data.evaluate, case.reference("evaluate")
    beside = measure.beside(case.data, split)
    before = metrics.scores(case.readings, reference, split.y, reference, beside)
    after = metrics.scores(case.readings, outputs, split.y, reference, beside)
    drops = metrics.drops(before, after)
    return {
        "drops": list(drops),
        "drop": max(drops),
        "judged": drops.index(max(drops)),
        "outputs": [
            {
                "output": score.output,
                "metric": score.metric,
                "value": score.value,
                "interval": metrics.interval(reading, outputs, split.y, reference, beside),
            }
            for score, reading in zip(after, case.readings, strict=True)
        ],
    }
