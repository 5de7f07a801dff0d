"""A smaller architecture for the teacher: is one wanted, and which one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import graph, quant, students
from squeeze import search as searching
from squeeze.quant.rough import quickest
from squeeze.search import SearchResult, estimate
from squeeze.spec import Goal
from squeeze.steps.costing import latency_there, share_there
from squeeze.steps.exporting import student_graph
from squeeze.steps.samples import first_samples
from squeeze.steps.timing import compared

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.run import At, Run
    from squeeze.spec import ArchSpec, QuantPart, Recipe, SearchPart

Json = dict[str, Any]  # Any: JSON

# Untrained candidates only need plausible ranges, not good ones.
PROBE_SAMPLES = 32
# Below this a student with a tenth of the parameters has little left to learn with.
SMALL_TEACHER_PARAMS = 100_000
# Of convolutions on CPUs with integer products, as benchmarks/results/end_to_end.json and shipped_models.json have it.
INT8_SPEEDUP = 3.0
SYNTHETIC = "synthetic"  # where a calibration set without data comes from


def enough(recipe: Recipe, case: Case, kept: Front) -> str | None:
    """Why the teacher's own architecture is enough, or None when a new one should be searched."""
    teacher, data = case.teacher, case.data
    if data.source == SYNTHETIC:
        return "no data was given; a student cannot learn from made inputs"
    if recipe.search.evaluations == 0:
        return f"recipe '{recipe.name}' keeps the teacher's architecture"
    goal = recipe.goal
    limits = (goal.max_latency_ms, goal.max_bytes, goal.max_ram_bytes, goal.max_flash_bytes)
    limited = any(limit is not None for limit in limits)
    if limited and kept.met("kept"):
        return "the teacher's own architecture meets the goal"
    asked = limited or recipe.search.start == "inherit"
    if not asked and teacher.params < SMALL_TEACHER_PARAMS:
        return (
            f"a teacher of {teacher.params / 1e3:.0f} k parameters is small already; with --size, --latency or --set "
            "search.start=inherit a student is made all the same"
        )
    return None


def unlike_families(recipe: Recipe, case: Case) -> str | None:
    """Why no architecture can be searched for this teacher, or None where one can."""
    if students.fitting(case.teacher, case.data, recipe.search.families):
        return None
    return f"no family of students fits {_shapes(case)}; the teacher's architecture is kept"


def searched(run: Run, case: Case, device: Device, recipe: Recipe, front: Front) -> SearchResult:
    """The student's architecture by budgeted evolution without training; latency measured on exported files."""
    step = run.step(
        "search",
        search,
        measured_on=device,
        case=case.blind(),
        part=wished(recipe, device),
        quantising=recipe.quant,
        goal=costs_asked(recipe.goal, front.beside_bytes),
        seed=run.seed,
        threads=run.threads,
    )
    return SearchResult.from_json(step.result["search"])


def costs_asked(goal: Goal, beside_bytes: int = 0) -> Goal:
    """What the goal says of costs, bytes without those that stand beside the network in the file: losses are not asked
    of what nothing was trained of."""
    most = goal.max_bytes
    return Goal(
        objective=goal.objective,
        max_latency_ms=goal.max_latency_ms,
        max_bytes=None if most is None else max(1, most - beside_bytes),
        max_ram_bytes=goal.max_ram_bytes,
        max_flash_bytes=goal.max_flash_bytes,
    )


def wished(recipe: Recipe, device: Device) -> SearchPart:
    """What the recipe wishes of a student for `device`. A speedup is meant over a teacher in float; where the teacher
    is int8 already, what int8 brings elsewhere is in its latency. Bits are those that a rung of the ladder may have."""
    part, quant = recipe.search, recipe.quant
    packs = device.numerics.custom_ops and quant.enabled and not quant.weights_only
    bits = quant.bits if quant.bits < 8 else part.bits
    # Packed weights are no faster, and a student with more of them is slower.
    packed = packs and recipe.goal.objective != "fastest"
    speedup = max(1.0, part.speedup / INT8_SPEEDUP) if device.integers_only else part.speedup
    return part.model_copy(update={"speedup": speedup, "bits": bits if packed else 8})


def search(
    at: At,
    *,
    device: Device,
    case: Case,
    part: SearchPart,
    quantising: QuantPart,
    goal: Goal,
    seed: int,
    threads: int,
) -> Json:
    """Scores many architectures untrained, times a few, picks one."""
    from squeeze.train.threads import torch_threads

    def ratios(archs: list[ArchSpec]) -> list[float]:
        with tempfile.TemporaryDirectory() as scratch:
            return [latency_share(device, case, quantising, a, Path(scratch), goal) for a in archs]

    with torch_threads(threads):
        result = searching.search(
            case.teacher,
            case.data,
            part,
            goal,
            seed=seed,
            measure_latency=ratios,
            teacher_latency_ms=teacher_latency_ms(device, case),
            progress=at.progress,
            alignment=device.target.numerics.width_alignment,
        )
    return {"summary": result.reason, "search": result.to_json()}


def latency_share(
    device: Device, case: Case, part: QuantPart, arch: ArchSpec, scratch: Path, goal: Goal
) -> float:
    """Latency of an untrained student, in the faster of its forms, as a share of the teacher's; infinite for one that
    the device does not take, or that is beyond the memory of the goal there."""
    sample = case.data.feed(case.data.calibrate, 0, 1)
    model = student_graph(arch, None, case.teacher, sample, device.numerics.opset)
    graph.optimise(model, sample, case.interface)
    return share_of(device, case, part, model, scratch, goal)


def share_of(
    device: Device, case: Case, part: QuantPart, model: ir.Model, scratch: Path, goal: Goal
) -> float:
    """`latency_share` of an optimised float graph."""
    passes = first_samples(case, PROBE_SAMPLES)
    sample = case.data.feed(case.data.calibrate, 0, 1)
    path = scratch / "float.onnx"
    graph.save(model, path)
    if device.runtime is not None:
        return share_there(device, path, case.net.file, sample, case.interface, goal)
    ratio = compared(device, path, case.net.file, sample, case.interface).ratio
    if not part.enabled:
        return ratio
    model = quant.quantize(
        model,
        passes,
        activations=device.numerics.activations,
        part=quickest(part),
        reduce_range=device.numerics.safe_weights,
    ).model
    if device.numerics.native:
        model = graph.lower(model)[0]
    path = scratch / "int8.onnx"
    graph.save(model, path)
    # What is shipped later is the faster of the two as well.
    return min(ratio, compared(device, path, case.net.file, sample, case.interface).ratio)


def teacher_latency_ms(device: Device, case: Case) -> float:
    """The teacher's median latency, from rounds in which it ran against itself: their spread is the machine's."""
    sample = case.data.feed(case.data.calibrate, 0, 1)
    if device.runtime is not None:
        found = latency_there(device, case.net.file, sample, case.interface)
        # Without a time there, candidates are placed as on the reference machine; what they cost corrects that.
        return estimate.reference_ms(case.teacher) if found is None else found
    return compared(device, case.net.file, case.net.file, sample, case.interface).model_p50_ms


def _shapes(case: Case) -> str:
    inputs, outputs = case.interface.inputs, case.interface.outputs
    if len(inputs) != 1 or len(outputs) != 1:
        return f"{len(inputs)} inputs and {len(outputs)} outputs"
    shape = "x".join(map(str, inputs[0].shape))
    return f"{case.data.modality} input {shape} with output rank {len(outputs[0].shape) + 1}"
