"""Lowers what is faster so, measured: first all that can be, then without each kind of op that may not pay.

Layers in packed codes are not up for choice: they are there for the size of the file, and would have 8 bits without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze.graph.files import save
from squeeze.graph.lower import FAMILIES, PACKED, lower, made
from squeeze.note import Note

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir

# A kind of op is left out when that alone makes the model faster by more than the noise of a comparison.
CLEARLY = 0.97


@dataclass(frozen=True)
class Chosen:
    """The fastest lowering, in `path`; `ratio` is its latency as a share of the plain model's."""

    path: Path
    notes: list[Note]
    made: dict[str, int]
    ratio: float

    @property
    def packed(self) -> int:
        """How many layers have packed weights: a reason to keep the file even where it is not faster."""
        return self.made.get(PACKED, 0)


def fastest(
    model: ir.Model, plain: Path, folder: Path, ratio: Callable[[Path, Path], float]
) -> Chosen | None:
    """Lowers `model`, whose file is `plain`, into `folder`; None when nothing in it can be.

    `ratio(a, b)` times two files: latency of a as a share of b. The result may still be slower than the plain model.
    """
    lowered, notes = lower(model)
    if not made(lowered):
        return None
    path = folder / "lowered.onnx"
    save(lowered, path)
    found = made(lowered)
    without: list[str] = []
    for family in FAMILIES:
        if family not in found or len(found) == 1:
            continue
        count = found[family]
        trial, trial_notes = lower(model, [*without, family])
        if not made(trial):
            continue
        trial_path = folder / f"lowered-without-{len(without)}.onnx"
        save(trial, trial_path)
        share = ratio(trial_path, path)
        if share < CLEARLY:
            without.append(family)
            path, found = trial_path, made(trial)
            why = f"undone, {count} nodes: {1 / share:.2f}x the speed without them"
            undone = Note(f"lower {family}", False, why, {"ratio": share})
            kept_before = [n for n in notes if "ratio" in n.numbers]
            notes = [*trial_notes, *kept_before, undone]
    return Chosen(path, notes, found, ratio(path, plain))
