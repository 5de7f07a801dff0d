"""Times of one model alone, run after run. To compare models they have to take turns: measure/timing.py does that."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_WARM_UPS = 5
_FEWEST, _MOST = 10, 500


@dataclass(frozen=True)
class RunTimes:
    """Percentiles over `runs` runs."""

    p10_ms: float
    p50_ms: float
    p90_ms: float
    runs: int


def times_ms(call: Callable[[], object], seconds: float = 0.5) -> RunTimes:
    """Runs `call` for about `seconds`, at least 10 times and at most 500, after a few runs that do not count."""
    for _ in range(_WARM_UPS):
        call()
    taken_ns: list[int] = []
    end = time.perf_counter() + seconds
    while len(taken_ns) < _FEWEST or (len(taken_ns) < _MOST and time.perf_counter() < end):
        start = time.perf_counter_ns()
        call()
        taken_ns.append(time.perf_counter_ns() - start)
    p10, p50, p90 = (float(value) for value in np.percentile(taken_ns, (10, 50, 90)) / 1e6)
    return RunTimes(p10, p50, p90, len(taken_ns))
