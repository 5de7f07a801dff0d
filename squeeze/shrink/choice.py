"""Which child is worth its training: of those that are as fast as asked, the one that is nearest to the whole.

Children of several depths are made as small as a guess says, and scored untrained. What is measured corrects the
guess: the deepest and the shallowest child first, then the best; one that turns out beyond the bound is made smaller,
one that is well inside, larger. Of a small teacher on a fast device no child is as fast as was wished, for what a run
costs by itself stays: then half the speed is wished, rather than a child of nearly nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
# Beyond it nothing is wished any more: what is not twice as fast is not worth its training.
_SLOWEST = 0.5


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
    """The picked child; None, with the reason, where none is inside the bound. ratio: measured. larger: of the others
    that were measured to be inside, the one with the next more multiplications, if any."""

    child: Child | None
    ratio: float
    why: str
    tried: tuple[Tried, ...]
    larger: Child | None = None

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
    bound that is only wished, the wish is halved.

    measure(network): latency of its shipped form as a share of the whole network's, infinite for one that the device
    does not take. Raises UnsupportedError where channels cannot be followed at any depth.
    """
    found = _inside(children, bound, measured, measure, progress)
    while found.child is None and not bound.demanded and 2 * bound.ratio <= _SLOWEST:
        if not any(one.ratio and math.isfinite(one.ratio) for one in found.tried):
            break
        bound = replace(bound, ratio=2 * bound.ratio)
        next_ = _inside(children, bound, measured, measure, progress)
        found = replace(next_, tried=(*found.tried, *next_.tried))
    return found


def _inside(
    children: Children,
    bound: Bound,
    measured: int,
    measure: Callable[[Network], float],
    progress: Progress,
) -> Chosen:
    """The same for one bound."""
    guess = _Guess(bound.ms_to_ratio)
    tried: list[Tried] = []

    def measure_next(child: Child) -> Tried:
        found = Tried(child, measure(child.network))
        tried.append(found)
        guess.correct(tried)
        return found

    def inside() -> list[Tried]:
        return [one for one in tried if one.ratio is not None and one.ratio <= bound.most_ratio]

    # Between them the deepest and the shallowest tell what work costs here, and what a layer does.
    first = _litter(children, bound, guess, progress, ends_alone=True)
    for child in first[:measured]:
        measure_next(child)
    waiting = _litter(children, bound, guess, progress) if len(tried) < measured else []
    waiting = [child for child in waiting if all(child.costs != one.child.costs for one in tried)]
    while waiting and len(tried) < measured:
        child = min(waiting, key=lambda one: one.loss)
        if any(one.child.loss <= child.loss for one in inside()):
            break
        waiting.remove(child)
        ratio = measure_next(child).ratio
        assert ratio is not None  # it was measured
        if math.isfinite(ratio) and not bound.ratio / NEAR <= ratio <= bound.most_ratio:
            other = children.child(child.depth, guess.most(bound, children, child.depth))
            if other.costs != child.costs:
                waiting.append(other)
    left = tuple(Tried(child) for child in waiting)
    if not inside():
        why = "no child is inside the bounds: " + (
            f"the fastest of {len(tried)} measured is at {min(t.ratio or math.inf for t in tried):.1%} of the latency,"
            f" {bound.ratio:.1%} is asked"
            if tried
            else "not even the smallest is by the guess"
        )
        return Chosen(None, math.inf, why, (*tried, *left))
    best = min(inside(), key=lambda one: one.child.loss)
    assert best.ratio is not None  # it was measured
    why = (
        f"{best.child.depth} of {len(children.blocks)} blocks fewer, {best.child.macs / 1e6:,.1f} MMACs: the nearest "
        f"to the teacher of {len(inside())} inside {bound.ratio:.1%} of its latency (measured {best.ratio:.1%})"
    )
    more = [one.child for one in inside() if one.child.macs > best.child.macs]
    larger = min(more, key=lambda child: child.macs, default=None)
    return Chosen(best.child, best.ratio, why, (*tried, *left), larger)


class _Guess:
    """The latency of a child as a share of the whole network's: so much for guessed work, so much for each layer."""

    def __init__(self, ms_to_ratio: float) -> None:
        self.per_ms, self.per_layer = ms_to_ratio, 0.0

    def correct(self, tried: Sequence[Tried]) -> None:
        """Follows what was measured; of one kind of child alone, or where the two say nonsense, by one factor."""
        rows = [(one.child, one.ratio) for one in tried if one.ratio and math.isfinite(one.ratio)]
        if not rows:
            return
        features = np.array([(child.costs.ms, len(child.network.layers)) for child, _ in rows])
        ratios = np.array([ratio for _, ratio in rows])
        self.per_ms, self.per_layer = float(np.median(ratios / features[:, 0])), 0.0
        if len({child.depth for child, _ in rows}) > 1:
            # Relative errors: what is near to the bound is as small as that.
            found, *_ = np.linalg.lstsq(features / ratios[:, None], np.ones(len(rows)), rcond=None)
            if (found > 0).all():
                self.per_ms, self.per_layer = (float(x) for x in found)

    def most(self, bound: Bound, children: Children, depth: int) -> Costs:
        """What a child without `depth` blocks may cost; of latency at least a tenth of what it costs uncut."""
        layers = len(children.shortened(depth).network.layers)
        ms = (bound.ratio - self.per_layer * layers) / self.per_ms
        return Costs(max(ms, 0.1 * children.costs(depth).ms), bound.bytes)


def _litter(
    children: Children,
    bound: Bound,
    guess: _Guess,
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
