"""How the values of one tensor spread, from a stream that is read once: equal bins whose width doubles as it grows.

Bin k holds the values with floor(value / width) = k, and the width is a power of two. Where a new extreme does not fit
into BINS bins, the width doubles and neighbours 2k and 2k + 1 merge. That loses nothing: floor(floor(v / w) / 2) is
floor(v / 2w), so that the counts are those of a histogram that had the last width from the first value on. They depend
on the values alone, neither on their order nor on how they were cut into chunks.

At least BINS / 2 bins cover the extremes, unless these lie so near together that float32 tells fewer values apart. A
value is within half a bin, so within (high - low) / (BINS - 4), of the centre of its bin; the extremes are exact.
Memory: BINS integers, however many values.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.quant.ranges.observers import Seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 4096
# Up to this number of a bin, float32 has every half: the floor of a value is its true bin.
_LARGEST_BIN = 1 << 22
_LEAST_EXPONENT = -100
# Values that are worked on at a time; they stay in the cache.
_BLOCK = 1 << 16


class Histogram:
    """Counts in at most BINS bins. `low` and `high` are the extremes so far, `finite` whether all values were."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.finite = True
        self._exponent = _LEAST_EXPONENT
        self._first = 0
        self._counts = np.zeros(0, np.int64)

    def add(self, values: NDArray[np.generic], most: int | None = None) -> None:
        """Counts float values of any shape; once one is not finite, nothing is counted any more.

        most: of more values so many are counted, one from each of as many equal pieces of what is added at once; the
        extremes are those of all.
        """
        if values.size == 0:
            return
        flat: NDArray[Any] = values.reshape(-1)  # Any: of any float type
        low, high = float(flat.min()), float(flat.max())
        self.finite = self.finite and math.isfinite(low) and math.isfinite(high)
        if not self.finite:
            return
        self._make_room(low, high)
        if most is not None and len(flat) > most:
            flat = flat[_spread_out(len(flat), most)]
        inverse_width = np.float32(2.0**-self._exponent)
        for start in range(0, len(flat), _BLOCK):
            block = flat[start : start + _BLOCK].astype(np.float32, copy=False) * inverse_width
            bins = np.floor(block, out=block).astype(np.int32)
            bins -= self._first
            self._counts += np.bincount(bins, minlength=len(self._counts))

    def seen(self) -> Seen:
        """What was seen so far."""
        width = 2.0**self._exponent
        return Seen(self.low, self.high, self._counts.copy(), self._first * width, width)

    def _make_room(self, low: float, high: float) -> None:
        """Widens and adds bins until low..high is covered."""
        if self.low <= low and high <= self.high:
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        exponent = _exponent(self.low, self.high)
        counts, first = self._counts, self._first
        if len(counts):
            for _ in range(exponent - self._exponent):
                counts, first = _merged(counts, first)
        self._exponent = exponent
        self._first = _bin(self.low, exponent)
        self._counts = np.zeros(_bin(self.high, exponent) - self._first + 1, np.int64)
        if len(counts):
            start = first - self._first
            self._counts[start : start + len(counts)] = counts


@lru_cache(maxsize=4)
def _places(count: int) -> NDArray[np.float64]:
    """A place in each of `count` pieces, as a share of the piece: the same ones every time, and at no fixed distance,
    which the channels of a tensor might have too."""
    return np.random.default_rng(0).random(count)


def _spread_out(length: int, count: int) -> NDArray[np.int64]:
    """One index from each of `count` equal pieces of `length`."""
    ends = np.arange(count) * (length / count)
    return np.asarray(ends + _places(count) * (length / count), np.int64)


def _bin(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def _exponent(low: float, high: float) -> int:
    """Of the smallest width, a power of two, that covers low..high with BINS bins whose numbers float32 can hold."""
    largest = max(abs(low), abs(high))
    exponent = _LEAST_EXPONENT
    if largest > 0:
        exponent = max(exponent, math.frexp(largest / _LARGEST_BIN)[1])
    if high > low:
        exponent = max(exponent, math.frexp((high - low) / BINS)[1] - 1)
    while _bin(high, exponent) - _bin(low, exponent) >= BINS:
        exponent += 1
    return exponent


def _merged(counts: NDArray[np.int64], first: int) -> tuple[NDArray[np.int64], int]:
    """Bins 2k and 2k + 1 become bin k."""
    padded = np.pad(counts, (first % 2, (first + len(counts)) % 2))
    return padded.reshape(-1, 2).sum(axis=1), first // 2
