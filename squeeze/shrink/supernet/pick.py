"""Which part of a weight-sharing network a device gets: the one that loses least of those that are as fast as asked.

Which are is a guess at first. The best by the guess is measured, and what is measured corrects it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from squeeze.note import Note
from squeeze.shrink.choice import Bound
from squeeze.shrink.supernet.choice import Scored

Row = tuple[str, Scored]  # and the space whose network it is a part of


@dataclass(frozen=True)
class Picked:
    """scored: the part, of the network of `space`; None, with the reason, where none is inside."""

    scored: Scored | None
    space: str
    why: str
    notes: tuple[Note, ...]


def pick(
    rows: Sequence[Row], bound: Bound, *, measured: int, measure: Callable[[str, Scored], float]
) -> Picked:
    """The part with the least loss inside the bound, of at most `measured` that are measured.

    measure(space, part): latency of its shipped form as a share of the teacher's, infinite for one that the device does
    not take.
    """
    fitting = sorted((r for r in rows if r[1].bytes <= bound.bytes), key=lambda row: row[1].loss)
    if not fitting:
        least = min(one.bytes for _, one in rows)
        why = (
            f"no part is inside {bound.bytes:,.0f} bytes: the smallest has about {least:,} in int8"
        )
        return Picked(None, "", why, ())
    found: dict[int, float] = {}
    per_ms = bound.ms_to_ratio
    for _ in range(measured):
        place = _next(fitting, found, per_ms, bound)
        if place is None:
            break
        found[place] = measure(*fitting[place])
        known = [ratio / fitting[i][1].ms for i, ratio in found.items() if math.isfinite(ratio)]
        per_ms = float(np.median(known)) if known else per_ms
    inside = [i for i, ratio in found.items() if ratio <= bound.most_ratio]
    best = min(inside, default=None)
    notes = tuple(_note(fitting[i], ratio, picked=i == best) for i, ratio in found.items())
    if best is None:
        why = (
            f"no part is inside the bounds: the fastest of {len(found)} measured is at "
            f"{min(found.values()):.1%} of the latency, {bound.ratio:.1%} is asked"
        )
        return Picked(None, "", why, notes)
    space, one = fitting[best]
    why = (
        f"a part of '{space}' of {one.macs / 1e6:,.1f} MMACs, loss {one.loss:.3f}: the least of {len(rows)} "
        f"inside {bound.ratio:.1%} of the teacher's latency (measured {found[best]:.1%})"
    )
    return Picked(one, space, why, notes)


def _next(
    fitting: Sequence[Row], found: dict[int, float], per_ms: float, bound: Bound
) -> int | None:
    """What is measured next: the best that is inside by the guess; the fastest while nothing is. None where the best
    was measured already."""
    best = min((i for i, ratio in found.items() if ratio <= bound.most_ratio), default=len(fitting))
    for i, (_, one) in enumerate(fitting[:best]):
        if i not in found and per_ms * one.ms <= bound.ratio:
            return i
    if best < len(fitting):
        return None
    fastest = min(range(len(fitting)), key=lambda i: fitting[i][1].ms)
    return None if fastest in found else fastest


def _note(row: Row, ratio: float, *, picked: bool) -> Note:
    space, one = row
    said = (
        f"measured at {ratio:.1%} of the latency"
        if math.isfinite(ratio)
        else "the device does not take it"
    )
    numbers = {"macs": float(one.macs), "loss": one.loss, "estimate_ms": one.ms}
    if math.isfinite(ratio):
        numbers["ratio"] = ratio
    why = f"{one.macs / 1e6:,.1f} MMACs, loss {one.loss:.3f}, {said}"
    return Note(f"part of '{space}'", picked, why, numbers)
