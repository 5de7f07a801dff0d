"""The last step: the picked candidate, its proof and its story become one package."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

import squeeze
from squeeze import artifact, machine, measure, report, verification
from squeeze.run import versions
from squeeze.steps.proof import old_cpus, size_account
from squeeze.steps.prune import arch_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.artifact import Artifact
    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.search import SearchResult
    from squeeze.spec import Recipe
    from squeeze.steps.judge import Judged
    from squeeze.steps.ladder import Ladder
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
GOLDEN_SAMPLES = 8
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def package(
    run: Run,
    recipe: Recipe,
    teacher: Teacher,
    calib: Calib,
    judged: Judged,
    *,
    search: SearchResult | None,
    student: Step | None,
    pruned: Step | None,
    rungs: Ladder,
    out: Path,
    command: list[str] | None,
) -> Artifact:
    """Writes the package `out`: the picked model, its weights, golden outputs, manifest and report."""
    model = judged.models[judged.picked]
    origin = judged.picked.partition("-")[0]
    shipped = {"student": student, "pruned": pruned}.get(origin)
    golden = verification.golden(model, calib.inputs(calib.evaluate, 0, GOLDEN_SAMPLES))
    files = {artifact.MODEL: model.read_bytes(), artifact.GOLDEN: _npz(golden)}
    if shipped is not None:
        files[artifact.WEIGHTS] = (shipped.path / "weights.safetensors").read_bytes()
    arch = None
    if shipped is not None and pruned is not None and origin == "pruned":
        arch = arch_of(pruned).model_dump(mode="json")
    elif shipped is not None and search and search.arch:
        arch = search.arch.model_dump(mode="json")
    cpus = old_cpus(run, model, calib, judged, judged.picked)
    manifest: Json = {
        "schema": 1,
        "squeeze_version": squeeze.__version__,
        "name": out.name,
        "command": command or [],
        "verdict": _verdict(recipe, judged),
        "teacher": {
            "source": teacher.source,
            "kind": teacher.kind,
            "digest": teacher.digest,
            "params": teacher.params,
            "macs": teacher.macs,
            "census": teacher.census,
        },
        "target": run.target.model_dump(mode="json", by_alias=True),
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "calib": _calib(calib, judged),
        "arch": arch,
        "measurements": {
            "teacher": judged.measurements["teacher"].model_dump(mode="json"),
            "student": judged.measurements[judged.picked].model_dump(mode="json"),
            "candidates": {n: m.model_dump(mode="json") for n, m in judged.measurements.items()},
        },
        "latency_ratio": judged.latency_ratio,
        "agreement": judged.agreement,
        "steps": run.log,
        "search": search.to_json() if search else None,
        "training": student.result["history"] if student else [],
        "sensitivity": rungs.sensitivity,
        "rungs": rungs.drops,
        "cpus": cpus,
        "size": size_account(model),
        "layers": measure.layers(model, threads=run.target.threads),
        "signature": {
            "input": teacher.input.to_json(),
            "output": teacher.output.to_json(),
            "preprocess": calib.preprocess.model_dump(mode="json"),
        },
        "golden": {"samples": len(golden["inputs"]), "tolerance": verification.TOLERANCE},
        "versions": versions(),
        "host": {
            "cpu": machine.host_name(),
            "isa": list(machine.isa()),
            "cores": machine.usable_cores(),
            "threads": run.threads,
        },
        "seeds": {"all": run.seed},
    }
    manifest = json.loads(json.dumps(manifest))
    files[artifact.REPORT] = report.render(manifest).encode()
    return artifact.write(out, manifest, files)


def _verdict(recipe: Recipe, judged: Judged) -> Json:
    shipped = judged.measurements[judged.picked]
    teacher = judged.measurements["teacher"]
    sentence = (
        f"{judged.picked}: {judged.latency_ratio[judged.picked]:.1f}x faster and "
        f"{teacher.file_bytes / shipped.file_bytes:.1f}x smaller than the teacher, "
        f"{judged.drops[judged.picked]:.2f} points lost"
    )
    if not judged.met:
        sentence = f"{judged.missed()}; {sentence}"
    return {
        "met": judged.met,
        "picked": judged.picked,
        "why": judged.why,
        "sentence": sentence,
        "drop": judged.drops[judged.picked],
        "goal": recipe.goal.model_dump(mode="json"),
        "checks": judged.checks[judged.picked],
    }


def _calib(calib: Calib, judged: Judged) -> Json:
    splits = {"fit": calib.fit, "calibrate": calib.calibrate, "evaluate": calib.evaluate}
    return {
        "name": calib.name,
        "source": calib.source,
        "digest": calib.digest,
        "metric": judged.measurements["teacher"].metric_name,
        "modality": calib.modality,
        "assumed": list(calib.assumed),
        "splits": {n: {"samples": len(s), "digest": s.digest} for n, s in splits.items()},
    }


def _npz(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """Like np.savez, but with the same bytes for the same arrays: no time stamps."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH), member.getvalue())
    return buffer.getvalue()
