"""Which replacement stands where: the least summed loss inside the bounds on latency and bytes, an integer program.

Losses, bytes and latencies of replacements are taken to add up. What each one saves is measured in the network, with
all parts of the same shapes replaced at once, so that it stands above the noise: one saves its share of that. What is
picked is measured as a whole, and where it is not where the table said, the program is asked again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from squeeze.errors import UnsupportedError
from squeeze.knapsack import one_of_each
from squeeze.note import Note
from squeeze.shrink.choice import NEAR
from squeeze.shrink.costs import costs_of
from squeeze.shrink.puzzle.parts import inside, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from squeeze.progress import Progress
    from squeeze.shrink.choice import Bound
    from squeeze.shrink.puzzle.parts import Part
    from squeeze.students.network import Network

WHOLE = "whole"  # the kind of a part that stays
Kinds = tuple[str, ...]  # of each part


@dataclass(frozen=True)
class Piece:
    """A fitted replacement. loss: what the whole network loses on held-out samples where it alone stands in it."""

    network: Network
    loss: float


@dataclass(frozen=True)
class Puzzle:
    """A network, its parts, and the pieces that may stand in the place of each, by kind. example: [n, ...] of its
    input."""

    network: Network
    parts: tuple[Part, ...]
    pieces: tuple[Mapping[str, Piece], ...]
    example: Tensor

    def put(self, kinds: Sequence[str]) -> Network:
        """The network with the pieces of these kinds."""
        chosen = zip(self.parts, self.pieces, kinds, strict=True)
        return joined(
            self.network, {part: has[kind].network for part, has, kind in chosen if kind != WHOLE}
        )

    def alike(self) -> list[list[int]]:
        """The parts, those of the same shapes together: each of them costs what the others do."""
        found: dict[str, list[int]] = {}
        for i, part in enumerate(self.parts):
            nodes = inside(self.network, part).description()["nodes"]
            does = [(node["op"], node["sizes"], node["attributes"]) for node in nodes]
            found.setdefault(repr((part.before, part.behind, does)), []).append(i)
        return list(found.values())

    @cached_property
    def bytes(self) -> float:
        """Of the int8 form of the whole network, guessed."""
        return costs_of(self.network, self.example).bytes

    @cached_property
    def saved_bytes(self) -> tuple[Mapping[str, float], ...]:
        """For each part, by kind, what a piece takes away from that."""
        found = []
        for part, has in zip(self.parts, self.pieces, strict=True):
            x = torch.zeros(2, *part.before)
            own = costs_of(inside(self.network, part), x).bytes
            saved = {kind: own - costs_of(piece.network, x).bytes for kind, piece in has.items()}
            found.append({WHOLE: 0.0, **saved})
        return tuple(found)


@dataclass(frozen=True)
class Shares:
    """Latencies as shares of the teacher's. whole: of the network as it is; saved: for each part, by kind, what a piece
    takes away from that; those that the device does not take are missing."""

    whole: float
    saved: tuple[Mapping[str, float], ...]

    def of(self, kinds: Sequence[str]) -> float:
        """Of the network with the pieces of these kinds, as they add up."""
        return self.whole - sum(has[kind] for has, kind in zip(self.saved, kinds, strict=True))


@dataclass(frozen=True)
class Chosen:
    """kinds: of each part; None, with the reason, where nothing is inside the bounds. ratio: measured."""

    kinds: Kinds | None
    ratio: float
    why: str
    notes: tuple[Note, ...]


def shares_of(
    puzzle: Puzzle, measure: Callable[[Network], float], progress: Progress
) -> tuple[Shares, list[Note]]:
    """What every piece saves of the latency, and a note of each measurement.

    measure(network): latency of its shipped form as a share of the teacher's, infinite for one that the device does not
    take. Raises UnsupportedError where it does not take the network as it is.
    """
    whole = measure(puzzle.network)
    if math.isinf(whole):
        raise UnsupportedError(
            "the device does not take it whole, so that no replacement can be held against it"
        )
    saved: list[dict[str, float]] = [{WHOLE: 0.0} for _ in puzzle.parts]
    notes = [Note("the network itself", True, _takes(whole), {"ratio": whole})]
    turns = [
        (group, kind)
        for group in puzzle.alike()
        for kind in dict.fromkeys(kind for i in group for kind in puzzle.pieces[i])
    ]
    for done, (group, kind) in enumerate(turns):
        among = [i for i in group if kind in puzzle.pieces[i]]
        name = f"{kind} for {', '.join(puzzle.parts[i].exit for i in among)}"
        progress.update(done, len(turns), name)
        ratio = measure(puzzle.put([kind if i in among else WHOLE for i in range(len(saved))]))
        if math.isinf(ratio):
            notes.append(Note(name, False, "the device does not take it"))
            continue
        notes.append(Note(name, True, _takes(ratio), {"ratio": ratio}))
        for i in among:
            saved[i][kind] = (whole - ratio) / len(among)
    return Shares(whole, tuple(saved)), notes


def solved(puzzle: Puzzle, shares: Shares, most_ratio: float, most_bytes: float) -> Kinds | None:
    """The kinds with the least summed loss inside of both; None where nothing is."""
    choices = [
        (i, kind)
        for i, has in enumerate(shares.saved)
        for kind in (WHOLE, *puzzle.pieces[i])
        if kind in has
    ]
    losses = [0.0 if kind == WHOLE else puzzle.pieces[i][kind].loss for i, kind in choices]
    saved_bytes = np.array([puzzle.saved_bytes[i][kind] for i, kind in choices])
    saved = np.array([shares.saved[i][kind] for i, kind in choices])
    one_each = np.array([[i == j for i, _ in choices] for j in range(len(puzzle.parts))], float)
    taken = one_of_each(
        np.array(losses),
        saved_bytes.max(initial=0.0) - saved_bytes,
        one_each,
        [(-saved, most_ratio - shares.whole), (-saved_bytes, most_bytes - puzzle.bytes)],
    )
    if taken is None:
        return None
    return tuple(kind for (_, kind), used in zip(choices, taken, strict=True) if used)


def choose(
    puzzle: Puzzle,
    shares: Shares,
    bound: Bound,
    *,
    measured: int,
    measure: Callable[[Network], float],
) -> Chosen:
    """The kinds with the least summed loss that were measured inside `bound`, at most `measured` times."""
    tried: dict[Kinds, float] = {}
    asked = bound.ratio
    while len(tried) < measured:
        kinds = solved(puzzle, shares, asked, bound.bytes)
        if kinds is None and not tried:
            kinds = solved(puzzle, shares, bound.most_ratio, bound.bytes)
        if kinds is None or kinds in tried:
            break
        tried[kinds] = measure(puzzle.put(kinds))
        if bound.ratio / NEAR <= tried[kinds] <= bound.most_ratio or math.isinf(tried[kinds]):
            break
        # What the table is wrong by is made up for in what is asked of it.
        asked = shares.of(kinds) + bound.ratio - tried[kinds]
    losses = {kinds: _loss(puzzle, kinds) for kinds in tried}
    within = [kinds for kinds, ratio in tried.items() if ratio <= bound.most_ratio]
    best = min(within, key=losses.__getitem__) if within else None
    notes = tuple(
        Note(
            ", ".join(kinds),
            kinds == best,
            f"losses add up to {losses[kinds]:.3f}; {_takes(ratio)}",
            {"loss": losses[kinds], **({} if math.isinf(ratio) else {"ratio": ratio})},
        )
        for kinds, ratio in tried.items()
    )
    if best is None:
        return Chosen(None, math.inf, _none_inside(puzzle, shares, bound, tried), notes)
    if set(best) == {WHOLE}:
        why = "the network itself is inside the bounds: nothing has to be replaced"
        return Chosen(None, tried[best], why, notes)
    why = (
        f"{sum(kind != WHOLE for kind in best)} of {len(best)} parts replaced, losses add up to {losses[best]:.3f}: "
        f"the least inside {bound.ratio:.1%} of the teacher's latency (measured {tried[best]:.1%})"
    )
    return Chosen(best, tried[best], why, notes)


def _loss(puzzle: Puzzle, kinds: Kinds) -> float:
    return sum(
        has[kind].loss for has, kind in zip(puzzle.pieces, kinds, strict=True) if kind != WHOLE
    )


def _none_inside(puzzle: Puzzle, shares: Shares, bound: Bound, tried: Mapping[Kinds, float]) -> str:
    if tried:
        return (
            f"no choice of replacements is inside the bounds: the fastest of {len(tried)} measured is at "
            f"{min(tried.values()):.1%} of the latency, {bound.ratio:.1%} is asked"
        )
    least = shares.whole - sum(max(has.values()) for has in shares.saved)
    smallest = puzzle.bytes - sum(
        max(saved[kind] for kind in has)
        for has, saved in zip(shares.saved, puzzle.saved_bytes, strict=True)
    )
    return (
        f"no choice of replacements is inside the bounds: all parts at their fastest take {least:.1%} of the latency "
        f"({bound.ratio:.1%} is asked), at their smallest {smallest / 1000:,.0f} KB ({bound.bytes / 1000:,.0f} KB)"
    )


def _takes(ratio: float) -> str:
    if math.isinf(ratio):
        return "the device does not take it"
    return f"measured at {ratio:.1%} of the teacher's latency"
