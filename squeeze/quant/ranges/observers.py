"""From what was seen of a tensor to the range its grid covers. Clipping rare large values makes the steps finer.

minmax      all of it
percentile  all but 0.01 % of the values, at each end that has a tail
mse         the range with the least mean squared error of rounding and clipping together
entropy     the range whose grid loses the least information: the divergence from the values as they spread
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.quant.ranges.grid import SMALLEST_SCALE, round_trip

Range = tuple[float, float]
Floats = NDArray[np.float64]

PERCENTILE = 99.99
STEPS = 255
CANDIDATES = 48
SMALLEST_SHARE = 0.25
ROUNDS = 2
# Entropy clips further: one wild value may leave all others in a small part of the range.
SMALLEST_ENTROPY_SHARE = 1 / 64
# The share of probability that keeps bins that a candidate leaves empty from being infinitely surprising.
SMOOTHING = 1e-4


@dataclass(frozen=True)
class Seen:
    """The extremes of a tensor over all samples, and how its values spread over equal bins.

    Bin i covers [start + i * width, start + (i + 1) * width); the outermost bins may reach beyond the extremes.
    channels: the largest magnitude of each index of the last axis, where that was asked for.
    """

    low: float
    high: float
    counts: NDArray[np.int64]  # [bins], empty when no histogram was taken
    start: float
    width: float
    channels: Floats | None = None  # [c]

    @property
    def centres(self) -> Floats:
        """The middle of each bin, none beyond the extremes."""
        middles = self.start + (np.arange(len(self.counts)) + 0.5) * self.width
        return np.clip(middles, self.low, self.high)


def minmax(seen: Seen) -> Range:
    """The extremes."""
    return seen.low, seen.high


def percentile(seen: Seen, value: float = PERCENTILE) -> Range:
    """The extremes without the outermost 100 - `value` percent on each side; a side that ends at 0 stays.

    Within one bin of what NumPy says of the values themselves.
    """
    if seen.high <= seen.low:
        return seen.low, seen.high
    share = np.cumsum(seen.counts) / max(int(seen.counts.sum()), 1)
    outside = 1 - value / 100
    centres = seen.centres
    high = float(centres[min(int(np.searchsorted(share, 1 - outside)), len(centres) - 1)])
    low = float(centres[min(int(np.searchsorted(share, outside)), len(centres) - 1)])
    return (low if seen.low < 0 else seen.low), (high if seen.high > 0 else seen.high)


def mse(seen: Seen) -> Range:
    """The range, between a quarter and all of the extremes, whose grid of 8 bits has the least mean squared error."""
    used = seen.counts > 0
    x, weight = seen.centres[used], seen.counts[used].astype(np.float64)

    def errors(lows: Floats, highs: Floats) -> Floats:
        # Squares of differences between the bin centres and their places on each grid.
        found: Floats = ((round_trip(x, lows, highs, STEPS) - x) ** 2) @ weight
        return found

    return _least(seen, np.linspace(SMALLEST_SHARE, 1, CANDIDATES), errors)


def entropy(seen: Seen) -> Range:
    """The range whose grid of 8 bits has the least Kullback-Leibler divergence from the values as they spread.

    After Migacz, "8-bit inference with TensorRT" (2017), taken to ranges with a zero point: see `divergence`.
    """
    centres, counts = seen.centres, seen.counts.astype(np.float64)
    smallest = max(SMALLEST_ENTROPY_SHARE, min(1.0, (STEPS + 1) / max(len(counts), 1)))

    def divergences(lows: Floats, highs: Floats) -> Floats:
        return np.array(
            [
                divergence(centres, counts, low, high)
                for low, high in zip(lows.tolist(), highs.tolist(), strict=True)
            ]
        )

    return _least(seen, np.geomspace(smallest, 1, CANDIDATES), divergences)


def divergence(centres: Floats, counts: Floats, low: float, high: float) -> float:
    """KL(p || q) in nats. p: the bins within [low, high], what lies outside counted in the outermost of them. q: the
    same bins after 8 bits, each level's count spread evenly over the bins with values that it rounds.

    q doesn't get what was clipped, so that clipping costs. Zeros are exact on every grid: the bin next to 0 is a level
    of its own, or tensors behind a ReLU, mostly zeros, would be clipped to nothing. centres, counts: [bins].
    """
    scale = max((high - low) / STEPS, SMALLEST_SCALE)
    zero_point = np.rint(-low / scale)
    inside = np.flatnonzero((centres >= low) & (centres <= high) & (counts > 0))
    total = counts.sum()
    if not len(inside) or total == 0:
        return np.inf
    p, q = counts[inside], counts[inside]
    p[0] += counts[: inside[0]].sum()
    p[-1] += counts[inside[-1] + 1 :].sum()
    x = centres[inside]
    levels = (np.clip(np.rint(x / scale) + zero_point, 0, STEPS)).astype(np.int64)
    levels[np.argmin(np.abs(x))] = STEPS + 1
    mass, members = np.bincount(levels, q), np.bincount(levels)
    spread = mass[levels] / members[levels]
    p, spread = p / total, spread / spread.sum()
    spread = (1 - SMOOTHING) * spread + SMOOTHING / len(spread)
    return float(np.sum(p * np.log(p / spread)))


def _least(seen: Seen, shares: Floats, errors: Callable[[Floats, Floats], Floats]) -> Range:
    """The range with the least error among `shares` [k] of the extremes, 1 last: both ends together, then each alone.

    errors: of ranges [m], [m]; ties go to the widest.
    """
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if high <= low:
        return low, high

    def best(lows: Floats, highs: Floats) -> Range:
        found = errors(lows, highs)
        k = len(found) - 1 - int(np.argmin(found[::-1]))
        return float(lows[k]), float(highs[k])

    chosen = best(low * shares, high * shares)
    if low < 0 < high:
        for _ in range(ROUNDS):
            chosen = best(np.full(len(shares), chosen[0]), high * shares)
            chosen = best(low * shares, np.full(len(shares), chosen[1]))
    return chosen


OBSERVERS: dict[str, Callable[[Seen], Range]] = {
    "entropy": entropy,
    "minmax": minmax,
    "mse": mse,
    "percentile": percentile,
}
