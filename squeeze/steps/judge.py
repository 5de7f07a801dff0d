"""The measured truth about each finished candidate, and the one that is shipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import measure, metrics, verdict
from squeeze.spec import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import Goal
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Judged:
    """Every candidate as it was measured, and which one is shipped. `drops` are in points of the metric."""

    picked: str
    why: str
    models: dict[str, Path]
    measurements: dict[str, Measurement]
    drops: dict[str, float]
    agreement: dict[str, float]
    latency_ratio: dict[str, float]
    checks: dict[str, list[Json]]
    digests: dict[str, str]
    reference: NDArray[np.generic]

    @property
    def met(self) -> bool:
        """Whether the picked candidate is inside every limit of the goal."""
        return all(c["ok"] for c in self.checks[self.picked])

    def missed(self) -> str:
        """What the picked candidate misses, and what it would cost to reach it."""
        failed = [c for c in self.checks[self.picked] if not c["ok"]]
        return verdict.missed(self.picked, failed, self.checks)


def judge(
    run: Run, models: Mapping[str, Path], calib: Calib, metric: str, base: Step, goal: Goal
) -> Judged:
    """Evaluates each of `models` (the first is the teacher) on the evaluation split and times them interleaved."""
    from squeeze.workdir import digest_file

    def work(folder: Path) -> Json:
        reference = np.load(base.path / "outputs.npy")
        sample = calib.inputs(calib.evaluate, 0, 1)
        timed = measure.latency(models, sample, threads=run.target.threads, runs=400)
        found: Json = {}
        for done, (name, path) in enumerate(models.items()):
            run.progress.update(done, len(models), name)
            value, outputs = measure.evaluate(
                path, calib, metric, reference=reference, threads=run.threads
            )
            measured = measure.measurement(
                path, sample, metric, value, len(calib.evaluate), timed[name]
            )
            found[name] = {
                "measurement": measured.model_dump(mode="json"),
                "agreement": metrics.score("agreement", outputs, None, reference=reference),
                "ratio": measure.ratio(timed["teacher"], timed[name]),
            }
        fastest = max(found.values(), key=lambda f: f["ratio"])["ratio"]
        return {
            "summary": f"{len(found)} candidates, the fastest {fastest:.1f}x the teacher's speed",
            "candidates": found,
        }

    inputs: Json = {
        "models": {name: digest_file(path) for name, path in models.items()},
        "evaluate": calib.evaluate.digest,
        "preprocess": calib.preprocess.model_dump(mode="json"),
        "metric": metric,
        "target": run.target.model_dump(mode="json"),
    }
    stored = run.step("measure", inputs, work).result["candidates"]
    measurements = {n: Measurement.model_validate(c["measurement"]) for n, c in stored.items()}
    teacher = measurements["teacher"].metric
    drops = {n: metrics.drop(metric, teacher, m.metric) for n, m in measurements.items()}
    picked, why = verdict.pick(goal, measurements, drops)
    return Judged(
        picked=picked,
        why=why,
        models=dict(models),
        measurements=measurements,
        drops=drops,
        agreement={n: float(c["agreement"]) for n, c in stored.items()},
        latency_ratio={n: float(c["ratio"]) for n, c in stored.items()},
        checks={n: verdict.checks(goal, m, drops[n]) for n, m in measurements.items()},
        digests=inputs["models"],
        reference=np.load(base.path / "outputs.npy"),
    )
