"""A smaller architecture for the teacher: is one wanted, which one, and its weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import export, graph, guides, measure, ops, quant, students
from squeeze import search as searching
from squeeze.search import SearchResult
from squeeze.spec import ArchSpec
from squeeze.steps.deploy import activation_type, ratio_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.judge import Judged
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

# Untrained candidates only need plausible ranges, not good ones.
PROBE_SAMPLES = 32
# Below this a student with a tenth of the parameters has little left to learn with.
SMALL_TEACHER_PARAMS = 100_000


def wanted(recipe: Recipe, teacher: Teacher, calib: Calib, kept: Judged) -> str | None:
    """None when a new architecture should be searched, else the reason why the teacher's own is enough."""
    if calib.source == "synthetic":
        return "no data was given; a student cannot learn from made inputs"
    if recipe.search.evaluations == 0:
        return f"recipe '{recipe.name}' keeps the teacher's architecture"
    if not students.fitting(teacher, calib, recipe.search.families):
        shape = "x".join(map(str, teacher.input.shape))
        return (
            f"no family of students fits {calib.modality} input {shape} with output rank "
            f"{len(teacher.output.shape) + 1}; the teacher's architecture is kept"
        )
    limited = recipe.goal.max_latency_ms is not None or recipe.goal.max_bytes is not None
    if limited and kept.met:
        return "the teacher's own architecture meets the goal"
    if not limited and teacher.params < SMALL_TEACHER_PARAMS:
        return (
            f"a teacher of {teacher.params / 1e3:.0f} k parameters is small already; with --size or --latency a "
            "student is searched all the same"
        )
    return None


def searched(run: Run, recipe: Recipe, teacher: Teacher, calib: Calib) -> SearchResult:
    """The student's architecture by budgeted evolution without training; latency measured on exported files."""

    def ratios(archs: list[ArchSpec]) -> list[float]:
        with tempfile.TemporaryDirectory() as scratch:
            return [_probe(run, recipe, teacher, calib, a, Path(scratch)) for a in archs]

    def work(folder: Path) -> Json:
        result = searching.search(
            teacher,
            calib,
            recipe.search,
            recipe.goal,
            seed=run.seed,
            measure_latency=ratios,
            teacher_latency_ms=_teacher_latency_ms(run, teacher, calib),
            progress=run.progress,
        )
        return {"summary": result.reason, "search": result.to_json()}

    inputs = {
        "teacher": teacher.digest,
        "calib": calib.digest,
        "preprocess": calib.preprocess.model_dump(mode="json"),
        "part": recipe.search.model_dump(mode="json"),
        "goal": recipe.goal.model_dump(mode="json"),
        "target": run.target.model_dump(mode="json"),
    }
    return SearchResult.from_json(run.step("search", inputs, work).result["search"])


def labelled(run: Run, recipe: Recipe, teacher: Teacher, calib: Calib) -> Step:
    """The step that holds what the teacher says of views of the fit split."""

    def label(folder: Path) -> Json:
        guides.cache_labels(
            teacher,
            calib,
            recipe.distill,
            seed=run.seed,
            threads=run.threads,
            folder=folder,
            progress=run.progress,
        )
        return {
            "summary": f"the teacher saw {recipe.distill.views} views of {len(calib.fit):,} samples"
        }

    return run.step("labels", _data(recipe, teacher, calib), label)


def distilled(run: Run, recipe: Recipe, teacher: Teacher, calib: Calib, arch: ArchSpec) -> Step:
    """The step that holds the student's trained float weights (`weights.safetensors`) and `history`."""
    labels = labelled(run, recipe, teacher, calib)

    def train(folder: Path) -> Json:
        from safetensors.torch import save_file

        from squeeze.train import distill

        found = distill(
            arch,
            calib,
            recipe.distill,
            labels=labels.path,
            seed=run.seed,
            threads=run.threads,
            folder=folder,
            progress=run.progress,
        )
        save_file(found.module.state_dict(), folder / "weights.safetensors")
        return {"summary": found.summary, "history": found.history}

    part = recipe.distill.model_dump(mode="json")
    data = _data(recipe, teacher, calib)
    inputs = {**data, "part": part, "arch": arch.model_dump(mode="json"), "metric": calib.metric}
    return run.step("distill", inputs, train)


def _data(recipe: Recipe, teacher: Teacher, calib: Calib) -> Json:
    return {
        "teacher": teacher.digest,
        "fit": calib.fit.digest,
        "calibrate": calib.calibrate.digest,
        "preprocess": calib.preprocess.model_dump(mode="json"),
        "modality": calib.modality,
        "views": recipe.distill.views,
        "augment": recipe.distill.augment,
    }


def exporter(
    run: Run, arch: ArchSpec, weights: Path | None, teacher: Teacher, calib: Calib
) -> Callable[[], ir.Model]:
    """Makes the student's float graph, with the teacher's input and output; without `weights` it is untrained."""

    def export_student() -> ir.Model:
        module = students.build(arch)
        if weights is not None:
            from safetensors.torch import load_file

            module.load_state_dict(load_file(weights))
        return export.to_ir(
            students.deployed(module.eval(), teacher.output_activation),
            calib.inputs(calib.calibrate, 0, 3),
            input_name=teacher.input.name,
            output_name=teacher.output.name,
            opset=run.target.opset,
        )

    return export_student


def _probe(
    run: Run, recipe: Recipe, teacher: Teacher, calib: Calib, arch: ArchSpec, scratch: Path
) -> float:
    example = calib.inputs(calib.calibrate, 0, PROBE_SAMPLES)

    def batches() -> Iterator[NDArray[np.generic]]:
        yield example

    model = exporter(run, arch, None, teacher, calib)()
    graph.optimise(model, example[:1])
    path = scratch / "float.onnx"
    graph.save(model, path)
    ratio = ratio_of(run, path, teacher.model, example[:1])
    if not recipe.quant.enabled:
        return ratio
    rough = recipe.quant.model_copy(
        update={"observer": "minmax", "bias_correction": False, "adaround": False, "smooth": False}
    )
    model = quant.quantize(
        model, batches, activations=activation_type(run.target.activations), part=rough
    ).model
    if run.target.custom_ops and ops.library_path() is not None:
        model = graph.lower(model)[0]
    path = scratch / "int8.onnx"
    graph.save(model, path)
    # What is shipped later is the faster of the two as well.
    return min(ratio, ratio_of(run, path, teacher.model, example[:1]))


def _teacher_latency_ms(run: Run, teacher: Teacher, calib: Calib) -> float:
    key = {"model": teacher.digest, "threads": run.target.threads}
    known = run.table.get(key)
    if known is None:
        sample = calib.inputs(calib.calibrate, 0, 1)
        found = measure.latency({"teacher": teacher.model}, sample, threads=run.target.threads)
        known = {"p50_ms": found["teacher"].p50_ms}
        run.table.put(key, known)
    return float(known["p50_ms"])
