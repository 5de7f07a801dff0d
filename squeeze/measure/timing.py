"""Latency of several models side by side, so that their ratio holds on a machine whose speed drifts.

All models are open in one process and take turns: in each round every model makes a burst of runs, and the
next round begins with the next model. A drift of the machine then hits all of them alike, and the ratio of
two models is the median of the ratios of their rounds. Milliseconds of different calls are not comparable.

A run is one call through an IOBinding whose input is already in the runtime's memory (2.4 us of overhead per
call where a plain `run` had 4.5). The first run of a burst is not counted: the other model has just emptied the
caches. Garbage collection is off while the clock runs.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError, MeasureError
from squeeze.runtimes.ort import ORT_ERRORS, first_line, only_input, session
from squeeze.runtimes.signature import cast_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import onnxruntime as ort

WARM_UP_RUNS = 10
_ROUNDS = 20
_FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Latency:
    """What one model took. `rounds_ms` holds the median of each round; round i of all models of one call belongs
    together, which is what `ratio` uses."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    runs: int
    threads: int
    rounds_ms: tuple[float, ...]


@dataclass(frozen=True)
class Ratio:
    """How many times the one model takes what the other does, in the median round and at the edges of eight in ten."""

    median: float
    p10: float
    p90: float
    rounds: int


def latency(
    models: Mapping[str, Path],
    sample: npt.NDArray[np.generic],  # [1, ...]
    *,
    threads: int = 1,
    runs: int = 200,
    max_seconds: float = 30.0,
    native: bool = True,
) -> dict[str, Latency]:
    """Times models that take the same input, interleaved; `runs` is per model, after warm-up.

    When the models are so slow that this would take longer than `max_seconds`, fewer runs are made (the result
    says how many), but at least three each. Raises MeasureError when a model fails, ConfigError when the
    sample does not fit.
    """
    opened = {name: session(path, threads=threads, native=native) for name, path in models.items()}
    feeds = {}
    for name, one in opened.items():
        needs = only_input(one)
        fixed = needs.shape[0]
        batch = sample if not isinstance(fixed, int) else np.repeat(sample[:1], fixed, axis=0)
        feeds[name] = {needs.name: cast_to(needs, batch)}
    return time_sessions(opened, feeds, threads=threads, runs=runs, max_seconds=max_seconds)


def time_sessions(
    opened: Mapping[str, ort.InferenceSession],
    feeds: Mapping[str, Mapping[str, npt.NDArray[np.generic]]],
    *,
    threads: int,
    runs: int,
    max_seconds: float = 30.0,
) -> dict[str, Latency]:
    """As `latency`, for sessions that are open (with `threads` threads) and whatever each of them takes."""
    if runs < 1:
        raise ConfigError(f"runs: got {runs}, allowed: 1 or more")
    calls = {name: _bound(one, feeds[name]) for name, one in opened.items()}
    if not calls:
        return {}
    deadline = time.perf_counter() + max_seconds
    with _no_garbage_collection():
        turn_ms = sum(_warm_up(name, call, max_seconds / 4) for name, call in calls.items())
        affordable = int(max_seconds * 1000 / max(turn_ms, 1e-6))
        rounds, burst = _plan(runs, affordable)
        times_ns = _interleave(calls, rounds, burst, deadline)
    return {name: _summary(times, threads) for name, times in times_ns.items()}


def ratio(a: Latency, b: Latency) -> float:
    """How many times `a` takes what `b` takes: the median over rounds of one call of `latency`."""
    return compared(a, b).median


def compared(a: Latency, b: Latency) -> Ratio:
    """As `ratio`, with its spread. Raises ValueError for latencies of two different calls."""
    if len(a.rounds_ms) != len(b.rounds_ms):
        raise ValueError("ratio: the two latencies come from different calls")
    per_round = np.asarray(a.rounds_ms) / np.asarray(b.rounds_ms)
    p10, p50, p90 = np.percentile(per_round, [10, 50, 90])
    return Ratio(float(p50), float(p10), float(p90), len(per_round))


def _bound(
    opened: ort.InferenceSession, feeds: Mapping[str, npt.NDArray[np.generic]]
) -> Callable[[], None]:
    binding = opened.io_binding()
    for name, x in feeds.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(x))
    for output in opened.get_outputs():
        binding.bind_output(output.name, "cpu")
    return lambda: opened.run_with_iobinding(binding)


def _warm_up(name: str, call: Callable[[], None], max_seconds: float) -> float:
    """Runs the model until it is warm; the median of the last runs in ms. A very slow model is run twice."""
    times_ns: list[int] = []
    began = time.perf_counter()
    while len(times_ns) < WARM_UP_RUNS:
        start = time.perf_counter_ns()
        try:
            call()
        except ORT_ERRORS as e:
            raise MeasureError(
                f"{name}: the model failed while it was timed: {first_line(e)}"
            ) from e
        times_ns.append(time.perf_counter_ns() - start)
        if len(times_ns) >= 2 and time.perf_counter() - began > max_seconds:
            break
    return float(np.median(times_ns[-5:])) / 1e6


def _plan(runs: int, affordable: int) -> tuple[int, int]:
    """(rounds, counted runs per burst), within what time allows; each burst costs one run more than it counts."""
    runs = min(runs, max(affordable // 2, _FEWEST_ROUNDS))
    rounds = min(_ROUNDS, max(runs, _FEWEST_ROUNDS))
    return rounds, math.ceil(runs / rounds)


def _interleave(
    calls: Mapping[str, Callable[[], None]], rounds: int, burst: int, deadline: float
) -> dict[str, list[list[int]]]:
    """Nanoseconds of each run, per model and round."""
    names = list(calls)
    times_ns: dict[str, list[list[int]]] = {name: [] for name in names}
    clock = time.perf_counter_ns
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            call = calls[name]
            call()
            times = []
            for _ in range(burst):
                start = clock()
                call()
                times.append(clock() - start)
            times_ns[name].append(times)
        if i + 1 >= _FEWEST_ROUNDS and time.perf_counter() > deadline:
            break
    return times_ns


def _summary(times_ns: list[list[int]], threads: int) -> Latency:
    every = np.concatenate([np.asarray(times) for times in times_ns]) / 1e6
    p50, p90, p99 = (float(p) for p in np.percentile(every, [50, 90, 99]))
    medians = tuple(float(np.median(times)) / 1e6 for times in times_ns)
    return Latency(p50, p90, p99, len(every), threads, medians)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
