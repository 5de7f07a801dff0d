"""From what was seen of a tensor to the range its grid covers. Clipping rare large values makes the steps finer.

minmax      all of it
percentile  all but 0.01 % of the values, at each end that has a tail
mse         the range with the least mean squared error of rounding and clipping together
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.quant.grid import round_trip

Range = tuple[float, float]

PERCENTILE = 99.99
STEPS = 255
CANDIDATES = 48
SMALLEST_SHARE = 0.25
ROUNDS = 2


@dataclass(frozen=True)
class Seen:
    """The extremes of a tensor over all samples, and how its values spread over equal bins between them."""

    low: float
    high: float
    counts: NDArray[np.int64]  # [bins], empty when no histogram was taken

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return (edges[:-1] + edges[1:]) / 2


def minmax(seen: Seen) -> Range:
    """The extremes."""
    return seen.low, seen.high


def percentile(seen: Seen) -> Range:
    """The extremes without the outermost 0.01 % on each side; a side that ends at 0 stays."""
    if seen.high <= seen.low:
        return seen.low, seen.high
    share = np.cumsum(seen.counts) / max(int(seen.counts.sum()), 1)
    outside = 1 - PERCENTILE / 100
    centres = seen.centres
    high = float(centres[min(int(np.searchsorted(share, 1 - outside)), len(centres) - 1)])
    low = float(centres[min(int(np.searchsorted(share, outside)), len(centres) - 1)])
    return (low if seen.low < 0 else seen.low), (high if seen.high > 0 else seen.high)


def mse(seen: Seen) -> Range:
    """The range, between a quarter and all of the extremes, whose grid of 8 bits has the least mean squared error."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if high <= low:
        return low, high
    used = seen.counts > 0
    x, weight = seen.centres[used], seen.counts[used].astype(np.float64)
    shares = np.linspace(SMALLEST_SHARE, 1, CANDIDATES)

    def best(lows: NDArray[np.float64], highs: NDArray[np.float64]) -> Range:
        # Squares of differences between the bin centres and their places on each grid; ties go to the widest.
        errors = ((round_trip(x, lows, highs, STEPS) - x) ** 2) @ weight
        k = len(errors) - 1 - int(np.argmin(errors[::-1]))
        return float(lows[k]), float(highs[k])

    chosen = best(low * shares, high * shares)
    if low < 0 < high:
        for _ in range(ROUNDS):
            chosen = best(np.full(CANDIDATES, chosen[0]), high * shares)
            chosen = best(low * shares, np.full(CANDIDATES, chosen[1]))
    return chosen


OBSERVERS: dict[str, Callable[[Seen], Range]] = {
    "minmax": minmax,
    "mse": mse,
    "percentile": percentile,
}
