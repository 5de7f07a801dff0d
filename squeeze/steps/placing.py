"""Int8 where it is faster alone: parts of a network whose int8 kernels lose to the float ones stay float.

What the kernels of both files take says which parts those are (`squeeze.quant.segments`). What would come of it is
built and timed against the int8 file, and kept where it is faster than that by more than the noise. Products of two
activations, which are float at first, are tried in int8 in the same way where they take enough time, and where our op
of attention may take them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze import graph, quant
from squeeze.front import Candidate
from squeeze.goal import holds
from squeeze.graph.lower import made
from squeeze.measure.kernel_times import kernel_times
from squeeze.quant.activation_products import has_attention
from squeeze.quant.segments import (
    Segment,
    faster_in_float,
    predicted_us,
    products_us,
    segments,
)
from squeeze.runtimes.inference import one_run
from squeeze.steps.fault import told
from squeeze.steps.lowering import named, put_ops
from squeeze.steps.samples import calibrate_lost, calibration_passes
from squeeze.steps.timing import FASTER, compared
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.feed import Passes
    from squeeze.front import Front
    from squeeze.net import FloatNet
    from squeeze.note import Note
    from squeeze.run import At, Run
    from squeeze.spec import QuantPart, Recipe

Json = dict[str, Any]  # Any: JSON

FORM = "int8-placed"
PRODUCTS = "activation_products"
# A profile is an estimate, and every build costs a quantisation.
WORTH_A_BUILD = 0.9
# What a segment must take in int8 to stay float, as a multiple of what it takes in float: as estimated, and clearly.
FACTORS = (1.0, 1.25)
# What int8 takes of the time of a float product at best, quantisers included.
PRODUCTS_SHARE = 0.5
# The runtime's profiler counts whole microseconds, so of a smaller model it tells nothing.
LEAST_US = 200
PROFILED_MS = 1000
LEAST_RUNS, MOST_RUNS = 5, 50
# A file that is only timed needs no good ranges.
TIMED_ALONE = {"samples": 4, "observer": "minmax", "bias_correction": False, "smooth": False}


def placed(
    run: Run,
    case: Case,
    device: Device,
    base: Candidate,
    int8: Candidate,
    part: QuantPart,
    undone: tuple[str, ...],
) -> Candidate | None:
    """The int8 form of the float file `base` with parts in float; None where nothing is worth a build, or faster.

    `int8.named` is there: see `lowering.put_ops`. undone: kinds of our ops that did not pay in `int8`.
    """
    step = run.step(
        base.net.step("place"),
        place,
        measured_on=device,
        repeated=base.net.origin == "kept",
        base=base,
        int8=int8,
        case=case.blind(),
        part=part,
        undone=undone,
        seed=run.seed,
        threads=run.threads,
    )
    if "digest" not in (found := step.result):
        return None
    file, story = step.path / "placed.onnx", {name: found[name] for name in ("float", PRODUCTS)}
    return Candidate.of(base.net, FORM, file, found, int8.bits, story)


def place(
    at: At,
    *,
    device: Device,
    base: Candidate,
    int8: Candidate,
    case: Case,
    part: QuantPart,
    undone: tuple[str, ...],
    seed: int,
    threads: int,
) -> Json:
    """Writes `placed.onnx` where that is faster than the file of `int8`; `float` names the layers that are float."""
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    try:
        return _placed(at, device, base, int8, case, part, undone, passes, threads)
    except Exception as e:  # the int8 file is there, and stays
        why = told("parts in float failed", e, at.folder)
        for file in at.folder.glob("*.onnx"):
            file.unlink()
        return {"summary": f"parts in float: failed: {why}"}


def _placed(
    at: At,
    device: Device,
    base: Candidate,
    int8: Candidate,
    case: Case,
    part: QuantPart,
    undone: tuple[str, ...],
    passes: Passes,
    threads: int,
) -> Json:
    sample = case.data.feed(case.data.calibrate, 0, 1)
    at.progress.update(0, 0, "timing the kernels of both")
    found, products = _kernels(device, case, base.file, int8.file)
    model, trial, file = graph.load(base.file), at.folder / "trial.onnx", at.folder / "placed.onnx"
    # What was tried for the int8 file need not be tried again: its layers are the same here, but for some in float.
    paying = made(graph.load(named(int8.file)))

    def write(floats: set[int], with_products: bool, part: QuantPart, path: Path) -> list[Note]:
        with_products |= part.activation_products
        quantised = quant.quantize(
            model,
            passes,
            activations=device.numerics.activations,
            part=part.model_copy(update={"activation_products": with_products}),
            progress=at.progress,
            reduce_range=device.numerics.safe_weights,
            float_outputs=[name for i in floats for name in found[i].nodes],
        )
        graph.save(quantised.model, path)
        notes = list(quantised.notes)
        put_ops(
            device,
            quantised.model,
            path,
            sample,
            case.interface,
            notes,
            paying=paying,
            without=undone,
            progress=at.progress,
        )
        return notes

    best: tuple[set[int], bool] | None = None
    wanted: list[tuple[set[int] | None, bool]] = [(floats, False) for floats in choices(found)]
    fused = device.numerics.custom_ops and device.numerics.native and has_attention(model.graph)
    if not part.activation_products and (fused or worth_trying(found, products)):
        wanted.append((None, True))  # with whatever was best before
    quick = part.model_copy(update=TIMED_ALONE)
    for given, with_products in wanted:
        floats = given if given is not None else best[0] if best else set()
        write(floats, with_products, quick, trial)
        against = file if best else int8.file
        if compared(device, trial, against, sample, case.interface).ratio < FASTER:
            trial.replace(file)
            best = floats, with_products
    trial.unlink(missing_ok=True)
    if best is None:
        tried = f"{len(wanted)} tried, none is faster" if wanted else "none promises to be faster"
        return {"summary": f"parts in float: {tried}"}
    floats, with_products = best
    notes = write(floats, with_products, part, file)
    stay = [_layer(found[i]) for i in sorted(floats) if found[i].weighted]
    share = compared(device, file, int8.file, sample, case.interface).ratio
    words = [f"{len(stay)} layers in float"] if stay else []
    words += ["products of two activations in int8"] if with_products else []
    return {
        "summary": f"{', '.join(words)}: {1 / share:.2f}x the speed of the int8 file",
        "digest": digest_file(file),
        **calibrate_lost(case, file, threads=threads, progress=at.progress).to_json(),
        "float": stay,
        PRODUCTS: with_products,
        "tried": [note.to_json() for note in notes],
    }


def as_placed(recipe: Recipe, front: Front, net: FloatNet) -> Recipe:
    """`recipe` with products of two activations in int8, where that made the int8 form of `net` faster."""
    found = front.candidates.get(f"{net.origin}-{FORM}")
    if found is None or not found.story[PRODUCTS] or not holds(recipe.goal, found.lost):
        return recipe
    part = recipe.quant.model_copy(update={PRODUCTS: True})
    return recipe.model_copy(update={"quant": part})


def _kernels(
    device: Device, case: Case, float_file: Path, int8_file: Path
) -> tuple[list[Segment], float]:
    """The segments, and what products of two activations take in the int8 file, in us."""
    sample = case.data.feed(case.data.calibrate, 0, 1)
    feeds = one_run(sample, case.interface)
    run_ms = compared(device, int8_file, float_file, sample, case.interface).against_p50_ms
    runs = round(min(max(PROFILED_MS / run_ms, LEAST_RUNS), MOST_RUNS))
    whole = graph.load(float_file).graph
    in_float = kernel_times(float_file, feeds, threads=device.threads, runs=runs)
    in_int8 = kernel_times(named(int8_file), feeds, threads=device.threads, runs=runs)
    return segments(whole, in_float, in_int8), products_us(whole, in_int8)


def worth_trying(found: list[Segment], products: float) -> bool:
    """Whether int8 products of two activations, which take `products` us in float, promise enough for a build."""
    whole_us = predicted_us(found, ())
    gain_us = (1 - PRODUCTS_SHARE) * products
    return whole_us >= LEAST_US and gain_us > (1 - WORTH_A_BUILD) * whole_us


def choices(found: list[Segment]) -> list[set[int]]:
    """Which segments to try in float, those that promise most first."""
    whole_us, wanted = predicted_us(found, ()), list[set[int]]()
    if whole_us < LEAST_US:
        return []
    for factor in FACTORS:
        floats = faster_in_float([replace(s, float_us=factor * s.float_us) for s in found])
        if floats in wanted or all(i in floats for i, s in enumerate(found) if s.weighted):
            continue
        if floats and predicted_us(found, floats) < WORTH_A_BUILD * whole_us:
            wanted.append(floats)
    return wanted


def _layer(segment: Segment) -> Json:
    why = f"it takes {segment.int8_us / 1e3:.3f} ms in int8, {segment.float_us / 1e3:.3f} in float"
    return {"name": segment.nodes[0], "why": why}
