"""Our fused ops in a quantised file, where the device takes them and they pay; they pack layers of few bits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.graph.lower import FAMILIES, PACKED, made
from squeeze.note import Note
from squeeze.steps.timing import FASTER, compared

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.interface import Interface

# What the stock runtime may lose with our ops' function bodies against plain QDQ, when our library is not there.
FALLBACK = 1.15


def put_ops(
    device: Device,
    model: ir.Model,
    plain: Path,
    sample: Feed,
    interface: Interface,
    notes: list[Note],
) -> int:
    """Puts our ops into `model`, whose file is `plain`, and makes the file compact; returns how many there are.

    Undone where that is not faster, unless layers of few bits are packed by it: those are about bytes.
    """
    if not device.numerics.custom_ops:
        notes.append(Note("fused ops", False, "the target takes no custom ops"))
        return 0
    with tempfile.TemporaryDirectory(dir=plain.parent) as scratch:
        if not device.numerics.native:
            return _pack_alone(model, plain, notes)
        chosen = graph.fastest(
            model,
            plain,
            Path(scratch),
            lambda a, b: compared(device, a, b, sample, interface).ratio,
        )
        if chosen is None:
            notes.extend(graph.lower(model)[1])
            notes.append(Note("fused ops", False, "no part of the graph fits one of our ops"))
            return 0
        compact = graph.load(chosen.path)
        graph.compact(compact)
        path = plain.parent / "lowered.onnx"
        graph.save(compact, path)
    notes.extend(chosen.notes)
    fallback = compared(device, path, plain, sample, interface, native=False).ratio
    kept = chosen.packed > 0 or (chosen.ratio < FASTER and fallback < FALLBACK)
    why = (
        f"{1 / chosen.ratio:.2f}x the speed of QDQ, {1 / fallback:.2f}x where the library is absent"
    )
    if chosen.packed:
        why += f"; {chosen.packed} layers packed"
    numbers = {"ratio": chosen.ratio, "fallback_ratio": fallback}
    notes.append(Note("fused ops", kept, why if kept else f"undone: {why}", numbers))
    if kept:
        path.replace(plain)
        return sum(chosen.made.values())
    path.unlink()
    return 0


def _pack_alone(model: ir.Model, plain: Path, notes: list[Note]) -> int:
    """Packs layers of few bits where the native library is not built: a rewrite that needs no kernels."""
    packed, packing = graph.lower(model, FAMILIES)
    count = made(packed).get(PACKED, 0)
    notes.append(Note("fused ops", False, "the native library is not built on this machine"))
    if count:
        graph.compact(packed)
        graph.save(packed, plain)
        notes.extend(packing)
    return count
