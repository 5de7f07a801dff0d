"""What the steps of a rung do: each sees only the float file, the bits, and what its recipe part says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from squeeze import graph, measure, quant
from squeeze.errors import MeasureError, UnsupportedError
from squeeze.graph.lower import PACKED, made
from squeeze.note import Note
from squeeze.quant.bits.sensitivity import sensitivity
from squeeze.quant.keep import kept
from squeeze.quant.prepared import store
from squeeze.quant.tables import round_tables
from squeeze.quant.weights.levels import FEW_BITS, FULL_BITS
from squeeze.steps.lowering import put_ops
from squeeze.steps.samples import calibrate_lost, calibration_passes
from squeeze.steps.timing import compared
from squeeze.steps.training import settings, source
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import DistillPart, QuantPart
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON
Bits = dict[str, int]  # output of a weighted node -> bits


def sense(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
) -> Json:
    """How much each layer minds fewer bits."""
    found = sensitivity(
        graph.load(base.file),
        calibration_passes(case, part, seed=seed, threads=threads),
        activations=device.numerics.activations,
        part=part,
        scaling=part.scaling,
        reduce_range=device.numerics.safe_weights,
        progress=at.progress,
    )
    if not found:
        return {"summary": "no layer has an int8 form that fewer bits could follow", "rows": []}
    worst = max(found, key=lambda r: r.loss.get(2, 0.0))
    return {
        "summary": f"{len(found)} layers at 4, 3 and 2 bits; '{worst.name}' minds most",
        "rows": [row.to_json() for row in found],
    }


def round_bits(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
    bits: Bits,
) -> Json:
    """Writes `rung.onnx` with weights rounded for the outputs of their layers."""
    found = quant.quantize(
        graph.load(base.file),
        calibration_passes(case, part, seed=seed, threads=threads),
        activations=device.numerics.activations,
        part=part.model_copy(update={"adaround": True}),
        progress=at.progress,
        reduce_range=device.numerics.safe_weights,
        bits=bits,
        scaling=part.scaling,
    )
    notes = list(found.notes)
    return finished(at, device, base, case, found.model, bits, "AdaRound", notes, threads)


def train_bits(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
    bits: Bits,
    answers: Step,
    distill: DistillPart,
    compute: Compute,
) -> Json:
    """Writes `rung.onnx` with weights that were trained at their quantised values; skipped where torch cannot train."""
    from squeeze.train.quantised.door import to_qdq
    from squeeze.train.quantised.quantise import train_quantised

    model, place = graph.load(base.file), at.folder / "training"
    # What training leaves in float is stored in few bits, too: embedding tables, which it is to make up for, and layers
    # that have no int8 form.
    exact = kept(model, part.keep_float)
    width = Counter(bits.values()).most_common(1)[0][0] if bits else FULL_BITS
    rounded = model.clone()
    round_tables(rounded.graph, exact, width)
    activations = device.numerics.activations
    try:
        found = train_quantised(
            rounded,
            bits,
            settings(part, distill, activations),
            source(distill, case, answers.path, seed),
            compute=compute,
            threads=threads,
            folder=place,
            progress=at.progress,
        )
    except UnsupportedError as e:
        return {"summary": f"not trained: {e}", "tried": [], "status": "skipped"}
    place.rmdir()
    trained = to_qdq(
        model,
        found,
        activations,
        part.keep_float,
        activation_products=part.activation_products,
        integer_outputs=part.integer_outputs,
    )
    notes = list(store(trained, exact, width).notes())
    try:
        return finished(at, device, base, case, trained, bits, part.method, notes, threads)
    except MeasureError as e:  # ranges that training left may be none that the runtime takes
        return {"summary": f"not kept: {e}", "tried": [], "status": "skipped"}


def time_layers(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
    layers: tuple[str, ...],
) -> Json:
    """What each layer takes at 8, 4, 3 and 2 bits, from files with all layers so."""
    table: dict[str, dict[str, float]] = {name: {} for name in layers}
    rest_ms = 0.0
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    for width in (8, *FEW_BITS):
        path = at.folder / f"{width}bit.onnx"
        graph.save(_packed(device, base, part, passes, dict.fromkeys(layers[1:-1], width)), path)
        nodes = measure.layers(path, case.interface, threads=device.threads)
        products = [node for node in nodes if _is_product(node)]
        if len(products) != len(layers):
            return {"summary": "the runtime joins layers; not known one by one"}
        for name, node in zip(layers, products, strict=True):
            table[name][str(width)] = node["us"] / 1e3
        rest_ms = max(rest_ms, sum(n["us"] for n in nodes if not _is_product(n)) / 1e3)
    return {"summary": "each layer timed", "layers_ms": table, "rest_ms": rest_ms}


def count_bytes(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
    bits: Bits,
) -> Json:
    """Bytes of the file with these bits, rounded to nearest."""
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    size = len(graph.to_bytes(_packed(device, base, part, passes, bits)))
    counts = Counter(bits.values())
    words = ", ".join(f"{count} layers at {width} bits" for width, count in sorted(counts.items()))
    return {"summary": f"{size / 1000:.1f} KB with {words}", "bytes": size}


def finished(
    at: At,
    device: Device,
    base: Candidate,
    case: Case,
    model: ir.Model,
    bits: Bits,
    how: str,
    notes: list[Note],
    threads: int,
) -> Json:
    """Writes `model` as `rung.onnx`, with our ops where they pay, and says what it loses and gains."""
    file = at.folder / "rung.onnx"
    sample = case.data.feed(case.data.calibrate, 0, 1)
    graph.save(model, file)
    put_ops(device, model, file, sample, case.interface, notes, progress=at.progress)
    notes.extend(_unpacked(file, bits))
    lost = calibrate_lost(case, file, threads=threads, progress=at.progress)
    taken = compared(device, file, base.file, sample, case.interface)
    why = f"{how}: {lost.drop:+.2f} points lost on the calibrate split, {file.stat().st_size / 1000:.1f} KB"
    if (
        not device.integers_only
    ):  # there the float graph stands for its int8 form, which costs the same
        why += f", {taken.said('the float graph')}"
    notes.append(Note("rung", True, why, {"drop": lost.drop, "ratio": taken.ratio}))
    return {
        "summary": why,
        "tried": [note.to_json() for note in notes],
        **lost.to_json(),
        "ratio": taken.ratio,
        "digest": digest_file(file),
    }


def _packed(device: Device, base: Candidate, part: QuantPart, passes: Any, bits: Bits) -> ir.Model:
    """The file of these bits, rounded to nearest: for bytes and times, not for accuracy."""
    model = quant.quantize(
        graph.load(base.file),
        passes,
        activations=device.numerics.activations,
        part=part.model_copy(update={"bias_correction": False, "adaround": False, "smooth": False}),
        reduce_range=device.numerics.safe_weights,
        bits=bits,
    ).model
    packed, _ = graph.lower(model)
    graph.compact(packed)
    return packed


def _unpacked(path: Path, bits: Bits) -> list[Note]:
    """The note of layers that were to have few bits and still take a byte a weight."""
    few = sum(b < 8 for b in bits.values())
    left = few - made(graph.load(path)).get(PACKED, 0)
    if left <= 0:
        return []
    why = (
        f"{left} of {few} layers of few bits stay in int8: a codebook op would take more bytes than it saves there, "
        "or fits no such node"
    )
    return [Note("packed weights", False, why, {"layers": left})]


def _is_product(node: Json) -> bool:
    """Whether a node of the runtime is a layer with weights."""
    return any(word in node["op"] for word in ("Conv", "Gemm", "MatMul"))
