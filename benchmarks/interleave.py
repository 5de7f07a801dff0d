"""Times several models in turns, so that a busy or a throttled moment hits all of them and their ratio holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

Key, T = TypeVar("Key"), TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Latency of one call in milliseconds, over `runs` calls."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    runs: int


@dataclass(frozen=True)
class Ratio:
    """Latency divided by the reference's: the median over rounds, and the middle 80 % of the rounds."""

    p50: float
    p10: float
    p90: float


def interleave(
    models: Mapping[str, Callable[[np.ndarray], object]],
    sample: np.ndarray,
    *,
    rounds: int = 60,
    calls: int = 10,
    reference: str | None = None,
) -> tuple[dict[str, Timing], dict[str, Ratio]]:
    """Runs every model `calls` times a round, in an order that rotates from round to round.

    sample: [1, ...], what every model is called with. The first call of a turn is not counted: it refills the
    caches that the others used. `reference` (by default the first name) is what ratios are taken against.
    """
    names = list(models)
    reference = names[0] if reference is None else reference
    for name in names:
        _turn(models[name], sample, 2 * calls)
    turns = {name: partial(_turn, model, sample, calls) for name, model in models.items()}
    times_ms = alternate(turns, rounds)
    rounds_ms = {name: np.median(np.stack(t), axis=1) for name, t in times_ms.items()}
    return (
        {name: _timing(np.concatenate(t)) for name, t in times_ms.items()},
        {name: _ratio(t / rounds_ms[reference]) for name, t in rounds_ms.items()},
    )


def alternate(turns: Mapping[Key, Callable[[], T]], rounds: int) -> dict[Key, list[T]]:
    """What each turn gave in each round; the order rotates from round to round."""
    names = list(turns)
    given: dict[Key, list[T]] = {name: [] for name in names}
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            given[name].append(turns[name]())
    return given


def _turn(model: Callable[[np.ndarray], object], sample: np.ndarray, calls: int) -> np.ndarray:
    model(sample)
    spent_ns = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter_ns()
        model(sample)
        spent_ns[i] = time.perf_counter_ns() - start
    return spent_ns / 1e6


def _timing(times_ms: np.ndarray) -> Timing:
    p50, p90, p99 = np.percentile(times_ms, (50, 90, 99))
    return Timing(float(p50), float(p90), float(p99), len(times_ms))


def _ratio(ratios: np.ndarray) -> Ratio:
    p10, p50, p90 = np.percentile(ratios, (10, 50, 90))
    return Ratio(float(p50), float(p10), float(p90))
