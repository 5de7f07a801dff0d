"""From a float graph to what the device runs: passes, int8, our fused ops. Each is kept only when it is faster."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import graph, machine, measure, ops, quant, runtimes
from squeeze.graph.lower import FAMILIES, PACKED, made
from squeeze.steps.calibration import calibration
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import QuantPart, Recipe
    from squeeze.teacher import Teacher
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

# A choice that rests on a timing needs a margin above the noise, or the same compile would choose differently.
FASTER = 0.95
# What the stock runtime may lose with our ops' function bodies against plain QDQ, when our library is not there.
FALLBACK = 1.15


@dataclass(frozen=True)
class Deployed:
    """The files that one float model became."""

    step: Step

    def models(self, name: str) -> dict[str, Path]:
        """The float file and, where it was faster, the int8 file, named after `name`."""
        found = {f"{name}-float": self.step.path / "float.onnx"}
        if self.step.result["int8"]:
            found[f"{name}-int8"] = self.step.path / "int8.onnx"
        return found


def deploy(
    run: Run,
    name: str,
    part: QuantPart,
    calib: Calib,
    teacher: Teacher,
    model: Callable[[], ir.Model],
    digest: str,
) -> Deployed:
    """The step `name`: `float.onnx` and, where it is faster on the target, `int8.onnx` of `model()`.

    `digest` says what `model()` is made from. Raises PassError when a pass changes what the model computes.
    """
    batches = calibration(run, part, teacher, calib)

    def work(folder: Path) -> Json:
        return _deploy(run, model(), batches, part, folder)

    inputs = {
        "model": digest,
        "calibrate": calib.calibrate.digest,
        "preprocess": calib.preprocess.model_dump(mode="json"),
        "part": part.model_dump(mode="json"),
        "target": run.target.model_dump(mode="json"),
        "library": digest_file(library) if (library := ops.library_path()) else None,
        "isa": list(machine.isa()),
    }
    return Deployed(run.step(name, inputs, work))


def keep(run: Run, recipe: Recipe, teacher: Teacher, calib: Calib) -> Deployed:
    """The step `keep`: the teacher's own architecture and weights."""
    return deploy(
        run, "keep", recipe.quant, calib, teacher, lambda: graph.load(teacher.model), teacher.digest
    )


def _deploy(
    run: Run,
    model: ir.Model,
    batches: Callable[[], Iterator[NDArray[np.generic]]],
    part: QuantPart,
    folder: Path,
) -> Json:
    sample = next(batches())[:1]
    changed = graph.optimise(model, sample)
    float_path = folder / "float.onnx"
    graph.save(model, float_path)
    tried: list[Json] = [_entry("passes", True, ", ".join(changed) or "nothing to change")]
    if not part.enabled:
        tried.append(_entry("int8", False, "the recipe switches quantisation off"))
        return {"summary": "float, as the recipe says", "tried": tried, "int8": False}

    quantised = quant.quantize(
        model,
        batches,
        activations=activation_type(run.target.activations),
        part=part,
        progress=run.progress,
        reduce_range=safe_weights(run),
    )
    int8_path = folder / "int8.onnx"
    graph.save(quantised.model, int8_path)
    fused = runtimes.fused_ops(int8_path)
    convolutions = sum(n for op, n in fused.items() if "Conv" in op)
    stock = ratio_of(run, int8_path, float_path, sample)
    tried.extend(quantised.notes)
    lowered = lower(run, quantised.model, int8_path, sample, tried)
    # On what counts, the target: with our library where the target takes it.
    ratio = ratio_of(run, int8_path, float_path, sample) if lowered else stock
    kept = ratio < FASTER
    why = f"{1 / ratio:.1f}x the speed of the float graph"
    if lowered:
        why += f" with {lowered} fused ops, {1 / stock:.1f}x as plain QDQ"
    if convolutions:
        why += f"; {fused.get('QLinearConv', 0)} of {convolutions} convolutions run in int8"
    tried.append(
        _entry(
            "int8",
            kept,
            why if kept else f"undone, not faster: {why}",
            ratio=ratio,
            qdq_ratio=stock,
        )
    )
    if not kept:
        int8_path.unlink()
        return {"summary": f"int8 undone: {why}", "tried": tried, "int8": False}
    return {"summary": f"int8, {why}", "tried": tried, "int8": True, "lowered": lowered}


def activation_type(
    wanted: str,
) -> Any:  # Any: mypy cannot narrow to the two literals through the table
    """uint8 or int8: what the target says, and for the host what its CPU runs fast (u8 on x86, s8 on Arm)."""
    if wanted != "host":
        return wanted
    return "int8" if any(i.startswith("arm64") for i in machine.isa()) else "uint8"


def safe_weights(run: Run) -> bool:
    """Whether weights stay so small that no pair of products saturates on x86 CPUs without VNNI. Those of files with
    uint8 activations do, whatever this machine has: the file runs everywhere."""
    return bool(activation_type(run.target.activations) == "uint8")


def ratio_of(
    run: Run, model: Path, against: Path, sample: NDArray[np.generic], *, native: bool = True
) -> float:
    """Latency of `model` as a share of `against`, interleaved on the target; remembered for this machine."""
    key = {
        "models": [digest_file(model), digest_file(against)],
        "threads": run.target.threads,
        "native": native,
    }
    known = run.table.get(key)
    if known is None:
        found = measure.latency(
            {"model": model, "against": against},
            sample,
            threads=run.target.threads,
            runs=400,
            native=native,
        )
        known = {"ratio": measure.ratio(found["model"], found["against"])}
        run.table.put(key, known)
    return float(known["ratio"])


def lower(
    run: Run, model: ir.Model, plain: Path, sample: NDArray[np.generic], tried: list[Json]
) -> int:
    """Puts our ops into `model`, whose file is `plain`, and makes the file compact; returns how many there are.

    Undone where that is not faster, unless layers of few bits are packed by it: those are about bytes.
    """
    if not run.target.custom_ops:
        tried.append(_entry("fused ops", False, "the target takes no custom ops"))
        return 0
    with tempfile.TemporaryDirectory(dir=plain.parent) as scratch:
        if ops.library_path() is None:
            return _pack_alone(model, plain, tried)
        chosen = graph.fastest(
            model, plain, Path(scratch), lambda a, b: ratio_of(run, a, b, sample)
        )
        if chosen is None:
            tried.extend(graph.lower(model)[1])
            tried.append(_entry("fused ops", False, "no part of the graph fits one of our ops"))
            return 0
        compact = graph.load(chosen.path)
        graph.compact(compact)
        path = plain.parent / "lowered.onnx"
        graph.save(compact, path)
    tried.extend(chosen.notes)
    count, ratio = sum(chosen.made.values()), chosen.ratio
    fallback = ratio_of(run, path, plain, sample, native=False)
    kept = chosen.packed > 0 or (ratio < FASTER and fallback < FALLBACK)
    why = f"{1 / ratio:.2f}x the speed of QDQ, {1 / fallback:.2f}x where the library is absent"
    if chosen.packed:
        why += f"; {chosen.packed} layers packed"
    tried.append(
        _entry(
            "fused ops",
            kept,
            why if kept else f"undone: {why}",
            ratio=ratio,
            fallback_ratio=fallback,
        )
    )
    if kept:
        path.replace(plain)
        return count
    path.unlink()
    return 0


def _pack_alone(model: ir.Model, plain: Path, tried: list[Json]) -> int:
    """Packs layers of few bits where the native library is not built: a rewrite that needs no kernels."""
    packed, notes = graph.lower(model, FAMILIES)
    count = made(packed).get(PACKED, 0)
    tried.append(_entry("fused ops", False, "the native library is not built on this machine"))
    if count:
        graph.compact(packed)
        graph.save(packed, plain)
        tried.extend(notes)
    return count


def _entry(name: str, kept: bool, why: str, **numbers: float) -> Json:
    return {"name": name, "kept": kept, "why": why, "numbers": numbers}
