"""Random numbers that are a pure function of counters, for whoever must replay a draw exactly.

A draw for (seed, sample, view, slot) is the same on every machine, in any order and after any interruption, because
nothing is carried along: the counters are hashed (SplitMix64's finaliser), never a generator advanced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_NOISE_LENGTH = 1 << 16


def hashed(seed: int, *counters: NDArray[np.int64] | int) -> NDArray[np.uint64]:
    """64 well-mixed bits for each element of the counters, which broadcast against each other."""
    state = _finalise(_counted(seed))
    for counter in counters:
        state = _finalise(state ^ _finalise(_counted(counter)))
    return state


@dataclass(frozen=True)
class Draws:
    """The draws of a batch: one row for each (sample, view), a slot for each use. `samples`, `views`: [n]."""

    seed: int
    samples: NDArray[np.int64]
    views: NDArray[np.int64]

    def uniform(self, slot: int) -> NDArray[np.float64]:
        """[n] in [0, 1)."""
        bits = _finalise(self._rows ^ _slot(slot)) >> np.uint64(11)
        return np.asarray(bits.astype(np.float64) * 2.0**-53)

    def integer(self, slot: int, low: int, high: int) -> NDArray[np.int64]:
        """[n] in low..high, both included."""
        return (low + np.floor(self.uniform(slot) * (high - low + 1))).astype(np.int64)

    def noise(self, slot: int, size: int) -> NDArray[np.float32]:
        """[n, size] standard normal: windows of one long noise, each at a place of its own."""
        bank = _noise(self.seed, _NOISE_LENGTH + size)
        start = self.integer(slot, 0, _NOISE_LENGTH)
        return np.lib.stride_tricks.sliding_window_view(bank, size)[start]

    @cached_property
    def _rows(self) -> NDArray[np.uint64]:
        """[n] what all slots begin with: `hashed` of all counters but the last."""
        return hashed(self.seed, self.samples, self.views)


@lru_cache(maxsize=4)
def _noise(seed: int, length: int) -> NDArray[np.float32]:
    return np.random.default_rng([seed, length]).standard_normal(length, dtype=np.float32)


@lru_cache(maxsize=256)
def _slot(slot: int) -> NDArray[np.uint64]:
    return _finalise(_counted(slot))


def _counted(counter: NDArray[np.int64] | int) -> NDArray[np.uint64]:
    """[n], [1] of a number: arrays wrap around, which is the arithmetic wanted, where single numbers warn."""
    return np.atleast_1d(np.asarray(counter, np.int64)).astype(np.uint64)


def _finalise(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return np.asarray(value ^ (value >> np.uint64(31)))
