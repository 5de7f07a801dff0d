"""Our fused ops in a quantised file, where the device takes them and they pay; they pack layers of few bits."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.graph.agreement import objector
from squeeze.graph.choose import UNCLEAR, sound
from squeeze.graph.lower import FAMILIES
from squeeze.note import Note
from squeeze.progress import Progress
from squeeze.runtimes.inference import one_run
from squeeze.steps.timing import FASTER, UNDECIDED, compared

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import onnx_ir as ir

    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.graph.choose import Objection
    from squeeze.interface import Interface


def put_ops(
    device: Device,
    model: ir.Model,
    plain: Path,
    sample: Feed,
    interface: Interface,
    notes: list[Note],
    keep_names: bool = False,
    paying: Collection[str] = (),
    without: Collection[str] = (),
    progress: Progress | None = None,
) -> int:
    """Puts our ops into `model`, whose file is `plain`, and makes the file compact; returns how many there are.
    keep_names: leaves what was made compact as it was before, too, as `named(plain)`. paying: kinds of ops that are
    known to pay in this network, see `graph.lower.made`. without: those that are known not to, see `graph.undone`.

    Undone where that is not faster with our library, which this target has, unless layers of few bits are packed by it:
    those are about bytes. How fast the file is where the library is absent is said, and decides nothing.
    """
    if not device.numerics.custom_ops:
        notes.append(Note("fused ops", False, "the target takes no custom ops"))
        return 0
    objection = _told(objector(model, plain, [one_run(sample, interface)]), progress or Progress())

    def share(a: Path, b: Path) -> float:
        undecided = UNDECIDED if b == plain else UNCLEAR
        return compared(device, a, b, sample, interface, undecided=undecided).ratio

    with tempfile.TemporaryDirectory(dir=plain.parent) as scratch:
        folder = Path(scratch)
        if not device.numerics.native:
            return _pack_alone(model, plain, folder, objection, notes)
        found = graph.fastest(
            model,
            plain,
            folder,
            share,
            objection,
            paying,
            without,
        )
        if found is None:
            notes.extend(graph.lower(model)[1])
            notes.append(Note("fused ops", False, "no part of the graph fits one of our ops"))
            return 0
        chosen, ratio = found
        notes.extend(chosen.notes)
        if not chosen.made:
            return 0
        path = plain.parent / "lowered.onnx"
        _save_compact(chosen.path, path)
        if keep_names:
            chosen.path.replace(_with_names(plain))
    stock = compared(device, path, plain, sample, interface, native=False).ratio
    kept = chosen.packed > 0 or ratio < FASTER
    why = f"{1 / ratio:.2f}x the speed of QDQ, {1 / stock:.2f}x where the library is absent"
    if chosen.packed:
        why += f"; {chosen.packed} layers packed"
    numbers = {"ratio": ratio, "stock_ratio": stock}
    notes.append(Note("fused ops", kept, why if kept else f"undone: {why}", numbers))
    if kept:
        path.replace(plain)
        return sum(chosen.made.values())
    path.unlink()
    _with_names(plain).unlink(missing_ok=True)
    return 0


def named(file: Path) -> Path:
    """The graph of `file`, which `put_ops` wrote, with the names that it was built with."""
    kept = _with_names(file)
    return kept if kept.exists() else file


def _with_names(file: Path) -> Path:
    return file.with_name(f"{file.stem}-named.onnx")


def _told(objection: Objection, progress: Progress) -> Objection:
    """The same, which tells how many files were tried: how many there will be is not known before."""
    number = count(1)

    def told(file: Path) -> str | None:
        progress.update(0, 0, f"our ops: file {next(number)}")
        return objection(file)

    return told


def _pack_alone(
    model: ir.Model,
    plain: Path,
    folder: Path,
    objection: Callable[[Path], str | None],
    notes: list[Note],
) -> int:
    """Packs layers of few bits where the native library is not built: a rewrite that needs no kernels."""
    found = sound(model, plain, folder, objection, without=FAMILIES)
    notes.append(Note("fused ops", False, "the native library is not built on this machine"))
    if found is None:
        return 0
    notes.extend(found.notes)
    if found.packed:
        _save_compact(found.path, plain)
    return found.packed


def _save_compact(lowered: Path, path: Path) -> None:
    model = graph.load(lowered)
    graph.compact(model)
    graph.save(model, path)
