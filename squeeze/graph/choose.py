"""Lowers what is faster so, measured: first all that can be, then without each kind of op that may not pay.

Nothing is handed out that somebody objects to. A lowering that fails is tried again without each kind of op; where
that does not help the plain file stays, and the reason is in the notes and in the log: it is a fault of ours.
Layers in packed codes are not up for choice: they are there for the size of the file, and would have 8 bits without it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squeeze.graph.files import save
from squeeze.graph.lower import FAMILIES, PACKED, lower, made
from squeeze.note import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    import onnx_ir as ir

    # Why a lowered file may not be used, or None.
    Objection = Callable[[Path], str | None]

logger = logging.getLogger(__name__)

# A kind of op is left out when that alone makes the model faster by more than the noise of a comparison.
CLEARLY = 0.97
# Where every round of such a comparison is outside of this, more of them would not change whether it is left out.
UNCLEAR = (0.955, 0.985)
FAILED = "lowering failed"
# How notes of kinds that were left out begin, and what they say.
KIND, UNDONE = "lower ", "undone"


@dataclass(frozen=True)
class Lowered:
    """A lowering that holds, in `path`; `made`: how many nodes it has of each kind, none where all of it failed."""

    path: Path
    notes: list[Note]
    made: dict[str, int]
    without: tuple[str, ...] = ()

    @property
    def packed(self) -> int:
        """How many layers have packed weights: a reason to keep the file even where it is not faster."""
        return self.made.get(PACKED, 0)


def sound(
    model: ir.Model,
    plain: Path,
    folder: Path,
    objection: Objection,
    without: Collection[str] = (),
) -> Lowered | None:
    """Lowers `model`, whose file is `plain`, into `folder`; None when nothing in it can be lowered.

    Where that fails it is without the kinds of ops that are at fault, and the notes say so. Where everything fails the
    result is `plain`.
    """
    found = _attempt(model, folder / "lowered.onnx", objection, tuple(without))
    if not isinstance(found, str):
        return found
    for family in (*FAMILIES, PACKED):
        path = folder / f"lowered-after-{family}.onnx"
        again = _attempt(model, path, objection, (*without, family))
        if isinstance(again, Lowered):
            note = _failure(f"{found}; it holds without {family}")
            return replace(again, notes=[*again.notes, note])
    return Lowered(plain, [_failure(f"{found}; the plain Q/DQ file is used")], {})


def fastest(
    model: ir.Model,
    plain: Path,
    folder: Path,
    ratio: Callable[[Path, Path], float],
    objection: Objection,
    paying: Collection[str] = (),
    without: Collection[str] = (),
) -> tuple[Lowered, float] | None:
    """As `sound`, without the kinds of ops that do not pay; and its latency as a share of the plain model's.

    `ratio(a, b)` times two files: latency of a as a share of b. The result may still be slower than the plain model.
    paying: kinds that are known to pay in this network and are not tried. without: kinds that are known not to, and
    are not made.
    """
    best = sound(model, plain, folder, objection, without)
    if best is None:
        return None
    for family in FAMILIES:
        if family in paying or family not in best.made or len(best.made) == 1:
            continue
        path = folder / f"lowered-without-{len(best.without)}-{family}.onnx"
        trial = _attempt(model, path, objection, (*best.without, family))
        if not isinstance(trial, Lowered):
            continue
        share = ratio(trial.path, best.path)
        if share < CLEARLY:
            why = f"{UNDONE}, {best.made[family]} nodes: {1 / share:.2f}x the speed without them"
            left_out = Note(f"{KIND}{family}", False, why, {"ratio": share})
            before = [n for n in best.notes if "ratio" in n.numbers or n.name == FAILED]
            best = replace(trial, notes=[*trial.notes, *before, left_out])
    return best, ratio(best.path, plain) if best.made else 1.0


def _attempt(
    model: ir.Model, path: Path, objection: Objection, without: tuple[str, ...]
) -> Lowered | str | None:
    """The lowering; what speaks against it; or None where nothing of ours is in it."""
    try:
        lowered, notes = lower(model, without)
        if not made(lowered):
            return None
        save(lowered, path)
    except Exception as e:  # whatever it is: a fault in a rewrite is no reason to be without a file
        logger.debug("lowering", exc_info=True)
        return f"{type(e).__name__}: {e}".split("\n")[0]
    why = objection(path)
    return why if why is not None else Lowered(path, notes, made(lowered), without)


def undone(notes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The kinds of ops that `notes` (JSON of those of `fastest`) tell to be left out, for they did not pay."""
    tried = (str(n["name"]) for n in notes if str(n["why"]).startswith(UNDONE))
    return tuple(name.removeprefix(KIND) for name in tried if name.startswith(KIND))


def _failure(why: str) -> Note:
    logger.warning(
        "lowering: %s. Please report this, with the model or with its operators (squeeze inspect)",
        why,
    )
    return Note(FAILED, False, why)
