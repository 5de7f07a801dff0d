"""Everything knowable fails here: the teacher, the data, whether they agree, and what there is to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import calib as calibration
from squeeze import metrics, runtimes
from squeeze import teacher as teachers

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
EXAMPLES = 4


def load_inputs(
    run: Run, source: str, weights: str | None, data: str | None, metric: str | None
) -> tuple[Teacher, Calib]:
    """The teacher as one fp32 ONNX file, and the calibration set fitted to its input, or made without data.

    Raises ConfigError or UnsupportedError for anything wrong with either, or with the pair.
    """
    raw = None if data is None else calibration.load(data, seed=run.seed, metric=metric)
    example = None if raw is None else raw.inputs(raw.fit, 0, EXAMPLES)

    def work(folder: Path) -> Json:
        loaded = teachers.load(source, weights=weights, example=example, folder=folder)
        summary = (
            f"{loaded.params / 1e6:.2f} M params · {loaded.macs / 1e6:.0f} M MACs · "
            f"{loaded.model.stat().st_size / 1e6:.2f} MB fp32"
        )
        return {"summary": summary, "teacher": loaded.to_json()}

    inputs = {
        "teacher": teachers.source_digest(source, weights),
        "example": None if example is None else [list(example.shape[1:]), str(example.dtype)],
    }
    step = run.step("teacher", inputs, work)
    teacher = teachers.Teacher.from_json(step.path, step.result["teacher"])
    if raw is None:
        return teacher, _synthesised(run, teacher)
    outputs = teacher.output.shape[-1] if len(teacher.output.shape) == 1 else 0
    return teacher, raw.fitted(teacher.input, outputs)


def _synthesised(run: Run, teacher: Teacher) -> Calib:
    """Inputs made from the teacher alone, kept as a step: they take minutes."""
    from squeeze.synthesis import synthesise

    def work(folder: Path) -> Json:
        made = synthesise(teacher, seed=run.seed, threads=run.threads, progress=run.progress)
        splits = {"fit": made.fit, "calibrate": made.calibrate, "evaluate": made.evaluate}
        for name, split in splits.items():
            np.save(folder / f"{name}.npy", np.asarray(split.x[:]))
        count = sum(map(len, splits.values()))
        return {
            "summary": f"{count} inputs from the teacher alone; accuracy on real data is unknown",
            "modality": made.modality,
            "assumed": list(made.assumed),
        }

    step = run.step("synthesise", {"teacher": teacher.digest}, work)
    parts = {n: np.load(step.path / f"{n}.npy") for n in ("fit", "calibrate", "evaluate")}
    result = step.result
    made = calibration.from_arrays(
        "synthetic", modality=result["modality"], assumed=tuple(result["assumed"]), **parts
    )
    return made.fitted(teacher.input, 0)


def baseline(run: Run, teacher: Teacher, calib: Calib, metric: str | None) -> tuple[str, Step]:
    """The name of the metric, and the step that holds the teacher's outputs on the evaluation split (`outputs.npy`).

    Without labels and without a wish, the teacher's outputs say which kind of agreement with it is meant.
    """
    if metric is None and calib.metric != "agreement":
        metric = calib.metric

    def work(folder: Path) -> Json:
        session = runtimes.session(teacher.model, threads=run.threads)
        parts = [runtimes.run(session, x) for x in calib.batches(calib.evaluate, 64)]
        outputs = np.concatenate(parts)
        np.save(folder / "outputs.npy", outputs)
        name = metric or metrics.default_metric(calib.evaluate.y, outputs)
        value = metrics.score(name, outputs, calib.evaluate.y, reference=outputs)
        return {
            "summary": f"{metrics.describe(name, value)} on {len(calib.evaluate)} samples",
            "metric": name,
            "value": value,
        }

    inputs: Json = {
        "teacher": teacher.digest,
        "evaluate": calib.evaluate.digest,
        "metric": metric,
    }
    inputs["preprocess"] = calib.preprocess.model_dump(mode="json")
    step = run.step("baseline", inputs, work)
    return str(step.result["metric"]), step
