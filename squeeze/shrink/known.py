"""What is known of children on a device: what was measured of some, and the guess of the others that follows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from squeeze.note import Note
from squeeze.quantities import show_macs
from squeeze.shrink.costs import Costs

if TYPE_CHECKING:
    from squeeze.shrink.children import Child, Children
    from squeeze.shrink.choice import Bound
    from squeeze.students.network import Network


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
            "far": child.far,
            "estimate_ms": child.costs.ms,
            "estimate_bytes": float(child.costs.bytes),
        }
        if ratio is None:
            said = "not measured"
        elif math.isinf(ratio):
            said = "the device does not take it"
        else:
            said, numbers["ratio"] = f"measured at {ratio:.1%} of the latency", ratio
        why = (
            f"{show_macs(child.macs)}, untrained loss {child.loss:.3f}, {child.far:.0%} as far from the teacher as one "
            f"constant answer, {said}"
        )
        blocks = "block" if child.depth == 1 else "blocks"
        return Note(f"{child.depth} {blocks} fewer", child is picked, why, numbers)


class Known:
    """What was measured of children, and the guess that follows it."""

    def __init__(
        self, children: Children, ms_to_ratio: float, measure: Callable[[Network], float]
    ) -> None:
        self.children, self.guess = children, Guess(ms_to_ratio)
        self.tried: list[Tried] = []
        self._measure = measure

    def measure(self, child: Child) -> float:
        """Its latency as a share of the whole network's."""
        ratio = self._measure(child.network)
        self.tried.append(Tried(child, ratio))
        self.guess.correct(self.tried)
        return ratio

    def inside(self, bound: Bound) -> list[Tried]:
        """Those that are inside as measured."""
        return [
            one for one in self.tried if one.ratio is not None and one.ratio <= bound.most_ratio
        ]


class Guess:
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
