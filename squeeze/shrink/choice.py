"""Which child is worth its training: of those that are as fast as asked, the one that is nearest to the whole.

Children of several depths are made as small as a guess says, and scored untrained. What is measured corrects the
guess: the deepest and the shallowest child first, then the best; one that turns out beyond the bound is made smaller,
one that is well inside, larger. Of a small teacher on a fast device no child is as fast as was wished, for what a run
costs by itself stays: then half the speed is wished, rather than a child of nearly nothing. Where what has as few bytes
begins far from the teacher, twice as many are wished; of demanded bytes, weights of fewer bits take fewer. Where what
is as fast begins far from it, less speed is wished: a student that loses more than the goal allows is of no use,
however fast it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import UnsupportedError
from squeeze.quantities import show_bytes, show_macs
from squeeze.shrink.costs import Costs
from squeeze.shrink.known import Guess, Known, Tried

if TYPE_CHECKING:
    from squeeze.note import Note
    from squeeze.progress import Progress
    from squeeze.shrink.children import Child, Children
    from squeeze.students.network import Network

# Depths that are tried, spread from none to as many blocks as leave a network that is fast enough by itself.
DEPTHS = 5
# A bound that is only wished may be missed by this much; what is this much inside could be larger.
NEAR = 1.1
# Beyond it nothing is wished any more: what is not twice as fast is not worth its training.
_SLOWEST = 0.5
# As a share of how far one constant answer is: about as many answers are other ones before the training, of which it
# brings most back. What began nearer had lost a point or two after three to fifteen minutes (docs/search.md).
_NEAR_ENOUGH = 0.15
# What begins this far is not near at a little less speed (a judgement).
_FAR = 0.5
# Of demanded bytes: a child that has less is held back by its latency, which fewer bits do not change.
_FULL = 0.9


@dataclass(frozen=True)
class Bound:
    """What a child may cost. ratio: latency as a share of the whole network's, demanded or wished; bytes: of its
    quantised form, guessed, and wished where `bytes_wished`; ms_to_ratio: what turns guessed milliseconds into a share,
    before anything was measured. bits: of the weights in the file that has these bytes; fewer_bits: what may be tried
    after them where bytes are demanded."""

    ratio: float
    demanded: bool
    bytes: float
    ms_to_ratio: float
    bytes_wished: bool = False
    bits: int = 8
    fewer_bits: tuple[int, ...] = ()

    @property
    def most_ratio(self) -> float:
        """Beyond it a child is not picked."""
        return self.ratio if self.demanded else NEAR * self.ratio


@dataclass(frozen=True)
class Chosen:
    """The picked child; None, with the reason, where none is inside the bound. ratio: measured. larger: of the others
    that were measured to be inside, the one with the next more multiplications, if any. bits: of the weights that it is
    made for."""

    child: Child | None
    ratio: float
    why: str
    tried: tuple[Tried, ...]
    larger: Child | None = None
    bits: int = 8

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
    """The child with the least loss inside the bound, with at most `measured` of them measured. Where none is inside a
    bound that is only wished, the wish is halved; where it begins far from the teacher, twice as many bytes are wished
    first, or fewer bits taken, and then less speed wished. Each time as many more are measured.

    measure(network): latency of its shipped form as a share of the whole network's, infinite for one that the device
    does not take. Raises UnsupportedError where channels cannot be followed at any depth.
    """
    known, asked = Known(children, bound.ms_to_ratio, measure), bound
    children.hold(bound.bits)
    found = _inside(known, bound, measured, progress)
    while (wider := _wider(bound, found, children)) is not None:
        bound = wider
        children.hold(bound.bits)
        found = _inside(known, bound, measured, progress)
    if found.child is None and bound.demanded:
        # What is demanded is aimed at with a reserve, of which a child that was measured may take.
        near = _inside(known, replace(bound, ratio=NEAR * bound.ratio), 0, progress)
        return found if near.child is None else replace(near, bits=bound.bits)
    wished = []
    if bound.ratio > asked.ratio:
        wished.append(f"{asked.ratio:.1%} was wished")
    if bound.bytes > asked.bytes:
        wished.append(f"what has {show_bytes(asked.bytes)} begins further from it")
    if bound.bits < asked.bits:
        wished.append(
            f"with {asked.bits} bits what has {show_bytes(bound.bytes)} begins further from it"
        )
    return replace(found, why="; ".join((found.why, *wished)), bits=bound.bits)


def _wider(bound: Bound, found: Chosen, children: Children) -> Bound | None:
    """What to wish instead where what was found is none, or far from the teacher; None where there is nothing else."""
    may_be_slower = not bound.demanded and bound.ratio < _SLOWEST
    half = replace(bound, ratio=min(2 * bound.ratio, _SLOWEST))
    if found.child is None:
        runs = any(one.ratio and math.isfinite(one.ratio) for one in found.tried)
        return half if may_be_slower and runs else None
    far, whole_bytes = found.child.far, children.costs(0).bytes
    if far <= _NEAR_ENOUGH:
        return None
    if bound.bytes_wished and bound.bytes < whole_bytes:
        return replace(bound, bytes=min(whole_bytes, 2 * bound.bytes))
    if bound.fewer_bits and found.child.costs.bytes > _FULL * bound.bytes:
        bits, *fewer = bound.fewer_bits
        return replace(bound, bits=bits, fewer_bits=tuple(fewer))
    if not may_be_slower:
        return None
    return half if far > _FAR else replace(bound, ratio=min(math.sqrt(2) * bound.ratio, _SLOWEST))


def _inside(known: Known, bound: Bound, measured: int, progress: Progress) -> Chosen:
    """The same for one bound, with at most `measured` more of them measured."""
    children, guess, before = known.children, known.guess, len(known.tried)

    def left() -> bool:
        return len(known.tried) - before < measured

    if not known.tried:
        # Between them the deepest and the shallowest tell what work costs here, and what a layer does.
        for child in _litter(children, bound, guess, progress, ends_alone=True)[:measured]:
            known.measure(child)
    waiting = _litter(children, bound, guess, progress) if left() else []
    waiting = [c for c in waiting if all(c.costs != one.child.costs for one in known.tried)]
    while waiting and left():
        child = min(waiting, key=lambda one: one.loss)
        if any(one.child.loss <= child.loss for one in known.inside(bound)):
            break
        waiting.remove(child)
        ratio = known.measure(child)
        if math.isfinite(ratio) and not bound.ratio / NEAR <= ratio <= bound.most_ratio:
            other = children.child(child.depth, guess.most(bound, children, child.depth))
            if other.costs != child.costs:
                waiting.append(other)
    tried = (*known.tried, *map(Tried, waiting))
    inside = known.inside(bound)
    if not inside:
        ratios = [one.ratio or math.inf for one in known.tried]
        why = "no child is inside the bounds: " + (
            f"the fastest of {len(ratios)} measured is at {min(ratios):.1%} of the latency, {bound.ratio:.1%} is asked"
            if ratios
            else "not even the smallest is by the guess"
        )
        return Chosen(None, math.inf, why, tried)
    best = min(inside, key=lambda one: one.child.loss)
    assert best.ratio is not None  # it was measured
    blocks = (
        f"{best.child.depth} of {len(children.blocks)} blocks fewer, " if children.blocks else ""
    )
    about = "" if bound.demanded else "about "
    why = (
        f"{blocks}{show_macs(best.child.macs)}: the nearest to the teacher of {len(inside)} inside "
        f"{about}{bound.ratio:.1%} of its latency (measured {best.ratio:.1%})"
    )
    more = [one.child for one in inside if one.child.macs > best.child.macs]
    larger = min(more, key=lambda child: child.macs, default=None)
    return Chosen(best.child, best.ratio, why, tried, larger)


def _litter(
    children: Children,
    bound: Bound,
    guess: Guess,
    progress: Progress,
    *,
    ends_alone: bool = False,
) -> list[Child]:
    """A child of each depth that is worth it, as small as the bounds ask. ends_alone: of the two ends of these."""
    deepest = len(children.blocks)
    # Blocks that go although the network is small enough without them are gone for nothing.
    last = next(
        (
            depth
            for depth in range(deepest + 1)
            if children.costs(depth).inside(guess.most(bound, children, depth))
        ),
        deepest,
    )
    count = 2 if ends_alone else DEPTHS
    depths = sorted({int(d) for d in np.linspace(0, last, min(count, last + 1)).round()})
    found: list[Child] = []
    refused: UnsupportedError | None = None
    for i, depth in enumerate(depths):
        progress.update(i, len(depths), f"{depth} of {deepest} blocks fewer")
        try:
            child = children.child(depth, guess.most(bound, children, depth))
        except UnsupportedError as e:
            refused = e
            continue
        if child.costs.inside(Costs(math.inf, bound.bytes)):
            found.append(child)
    if refused is not None and not found:
        raise refused
    return found
