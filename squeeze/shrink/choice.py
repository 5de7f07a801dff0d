"""Which child is worth its training: of those that are as fast as asked, the one that is nearest to the whole.

Children of several depths are made as small as a guess says, and scored untrained. The best are measured, which
corrects the guess: one that turns out beyond the bound is made smaller, one that is well inside, larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import UnsupportedError
from squeeze.note import Note
from squeeze.shrink.costs import Costs

if TYPE_CHECKING:
    from squeeze.progress import Progress
    from squeeze.shrink.children import Child, Children
    from squeeze.students.network import Network

# Depths that are tried, spread from none to as many blocks as leave a network that is fast enough by itself.
DEPTHS = 5
# A bound that is only wished may be missed by this much; what is this much inside could be larger.
NEAR = 1.1


@dataclass(frozen=True)
class Bound:
    """What a child may cost. ratio: latency as a share of the whole network's, demanded or wished; bytes: of its int8
    form, guessed; ms_to_ratio: what turns guessed milliseconds into a share, before anything was measured."""

    ratio: float
    demanded: bool
    bytes: float
    ms_to_ratio: float

    @property
    def most_ratio(self) -> float:
        """Beyond it a child is not picked."""
        return self.ratio if self.demanded else NEAR * self.ratio


@dataclass(frozen=True)
class Tried:
    """A child, and its latency as a share of the whole network's once it was measured: infinite where the device does
    not take it."""

    child: Child
    ratio: float | None = None

    def note(self, picked: Child | None) -> Note:
        """For the log."""
        child, ratio = self.child, self.ratio
        numbers = {
            "macs": float(child.macs),
            "loss": child.loss,
            "estimate_ms": child.costs.ms,
            "estimate_bytes": float(child.costs.bytes),
        }
        if ratio is None:
            said = "not measured"
        elif math.isinf(ratio):
            said = "the device does not take it"
        else:
            said, numbers["ratio"] = f"measured at {ratio:.1%} of the latency", ratio
        why = f"{child.macs / 1e6:,.1f} MMACs, untrained loss {child.loss:.3f}, {said}"
        return Note(f"{child.depth} blocks fewer", child is picked, why, numbers)


@dataclass(frozen=True)
class Chosen:
    """The picked child; None, with the reason, where none is inside the bound. ratio: measured."""

    child: Child | None
    ratio: float
    why: str
    tried: tuple[Tried, ...]

    def notes(self) -> tuple[Note, ...]:
        """One for each child that was made."""
        return tuple(tried.note(self.child) for tried in self.tried)


def choose(
    children: Children,
    bound: Bound,
    *,
    measured: int,
    measure: Callable[[Network], float],
    progress: Progress,
) -> Chosen:
    """The child with the least loss inside the bound, with at most `measured` of them measured.

    measure(network): latency of its shipped form as a share of the whole network's, infinite for one that the device
    does not take. Raises UnsupportedError where channels cannot be followed at any depth.
    """
    scales: dict[int, float] = {}  # by depth, as measured
    waiting = _litter(children, bound, bound.ms_to_ratio, progress)
    tried: list[Tried] = []
    inside: list[Tried] = []
    while waiting and len(tried) < measured:
        child = min(waiting, key=lambda one: one.loss)
        if inside and child.loss >= min(one.child.loss for one in inside):
            break
        waiting.remove(child)
        ratio = measure(child.network)
        found = Tried(child, ratio)
        tried.append(found)
        if not math.isfinite(ratio):
            continue
        if ratio <= bound.most_ratio:
            inside.append(found)
        scale = scales[child.depth] = ratio / child.costs.ms
        if len(scales) == 1 and not 1 / NEAR < scale / bound.ms_to_ratio < NEAR:
            # The guess is off by one factor for all of them: all are made anew.
            waiting = _litter(children, bound, scale, progress)
        elif not bound.ratio / NEAR <= ratio <= bound.most_ratio:
            # Of this depth it is off by another one: a few layers more or fewer take their time.
            most = Costs(bound.ratio / scale, bound.bytes)
            other = children.child(child.depth, most)
            if other.costs != child.costs:
                waiting.append(other)
    left = tuple(Tried(child) for child in waiting)
    if not inside:
        why = "no child is inside the bounds: " + (
            f"the fastest of {len(tried)} measured is at {min(t.ratio or math.inf for t in tried):.1%} of the latency,"
            f" {bound.ratio:.1%} is asked"
            if tried
            else "not even the smallest is by the guess"
        )
        return Chosen(None, math.inf, why, (*tried, *left))
    best = min(inside, key=lambda one: one.child.loss)
    assert best.ratio is not None  # it was measured
    why = (
        f"{best.child.depth} of {len(children.blocks)} blocks fewer, {best.child.macs / 1e6:,.1f} MMACs: the nearest "
        f"to the teacher of {len(inside)} inside {bound.ratio:.1%} of its latency (measured {best.ratio:.1%})"
    )
    return Chosen(best.child, best.ratio, why, (*tried, *left))


def _litter(children: Children, bound: Bound, scale: float, progress: Progress) -> list[Child]:
    """A child of each depth that is worth it, as small as the bounds ask."""
    most = Costs(bound.ratio / scale, bound.bytes)
    deepest = len(children.blocks)
    # Blocks that go although the network is small enough without them are gone for nothing.
    last = next((d for d in range(deepest + 1) if children.costs(d).inside(most)), deepest)
    depths = sorted({int(d) for d in np.linspace(0, last, min(DEPTHS, last + 1)).round()})
    found: list[Child] = []
    refused: UnsupportedError | None = None
    for i, depth in enumerate(depths):
        progress.update(i, len(depths), f"{depth} of {deepest} blocks fewer")
        try:
            child = children.child(depth, most)
        except UnsupportedError as e:
            refused = e
            continue
        if child.costs.inside(replace(most, ms=math.inf)):
            found.append(child)
    if refused is not None and not found:
        raise refused
    return found
