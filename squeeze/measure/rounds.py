"""From the clock's raw numbers to the latency of models that took turns: which runs count, and what they say together.

A run counts when the thread that made it had its core nearly all the time. On a busy machine a long run is interrupted
every time and a short one hardly ever, so that their ratio, however steady, is not that of the models: 16 becomes 60
beside one other program. What a thread lost to others shows as wall time in which it used no CPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Of a run's wall time; undisturbed runs reach 0.99 with one thread and with two.
LEAST_ON_CORE = 0.9
FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Burst:
    """The runs that one model made in one round: wall time of each, and the CPU time of the calling thread in it.

    Other threads of the runtime are not looked at: while they work, the calling thread waits for them by spinning.
    """

    wall_ns: tuple[int, ...]
    core_ns: tuple[int, ...]

    def calm_ns(self) -> npt.NDArray[np.float64]:
        """Wall time of the runs that kept their core."""
        wall = np.asarray(self.wall_ns, np.float64)
        return wall[np.asarray(self.core_ns) >= LEAST_ON_CORE * wall]


@dataclass(frozen=True)
class Latency:
    """What one model took. `rounds_ms` holds the median of each round; round i of all models of one call belongs
    together.

    calm: all of it comes from runs that kept their core. Not so when too few rounds had such runs of every model; all
    runs are in it then.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    runs: int
    threads: int
    rounds_ms: tuple[float, ...]
    calm: bool = True


def calm_rounds(bursts: Mapping[str, Sequence[Burst]]) -> list[int]:
    """The rounds in which every model has a run that kept its core."""
    calm = [[len(burst.calm_ns()) > 0 for burst in rounds] for rounds in bursts.values()]
    return [i for i, of_all in enumerate(zip(*calm, strict=True)) if all(of_all)]


def latencies(bursts: Mapping[str, Sequence[Burst]], threads: int) -> dict[str, Latency]:
    """The latency of each model from its bursts, one a round, as many for each model.

    Calm rounds are kept, and their calm runs alone, as long as half of all rounds are left and at least three.
    """
    kept = calm_rounds(bursts)
    count = len(next(iter(bursts.values())))
    if len(kept) >= max(FEWEST_ROUNDS, math.ceil(count / 2)):
        return {
            name: _latency([rounds[i].calm_ns() for i in kept], threads, True)
            for name, rounds in bursts.items()
        }
    return {
        name: _latency([np.asarray(b.wall_ns, np.float64) for b in rounds], threads, False)
        for name, rounds in bursts.items()
    }


def _latency(rounds_ns: list[npt.NDArray[np.float64]], threads: int, calm: bool) -> Latency:
    every = np.concatenate(rounds_ns) / 1e6
    p50, p90, p99 = (float(p) for p in np.percentile(every, [50, 90, 99]))
    medians = tuple(float(np.median(times)) / 1e6 for times in rounds_ns)
    return Latency(p50, p90, p99, len(every), threads, medians, calm)
