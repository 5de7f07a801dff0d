"""Latency of several models side by side, so that their ratio holds on a machine whose speed drifts.

All models are open in one process and take turns: in each round every model makes a burst of runs, and the
next round begins with the next model. A drift of the machine then hits all of them alike, and the ratio of
two models is the median of the ratios of their rounds. Milliseconds of different calls are not comparable.
Where the machine was busy, or rounds disagree too far, all of it is done again, at most twice, and the steadiest kept.
A comparison that is made for one question ends as soon as its rounds agree on the answer.

A run is one call through an IOBinding whose input is already in the runtime's memory (2.4 us of overhead per
call with outputs that stay bound, where a plain `run` had 4.5); its outputs are allocated in the run, as an
app's are (see `bound`). The first run of a burst is not counted: the other model has just emptied the caches.
Garbage collection is off while the clock runs.
"""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError, MeasureError
from squeeze.measure.bound import Bound
from squeeze.measure.comparison import Comparison, compared, decided, unsteadiness
from squeeze.measure.rounds import FEWEST_ROUNDS, Burst, Latency, calm_rounds, latencies
from squeeze.runtimes.inference import one_run
from squeeze.runtimes.ort import ORT_ERRORS, first_line, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import onnxruntime as ort

    from squeeze.feed import Feed
    from squeeze.interface import Interface

logger = logging.getLogger(__name__)

WARM_UP_RUNS = 10
_TRIES = 3
_ROUNDS = 20
_HOPELESS_ROUNDS = 5  # without a calm one among them, a try ends
_DECIDING_ROUNDS = 5  # when all of them agree, a comparison with a question ends

Taken = dict[str, Latency]
Enough = Callable[[Taken], bool]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Call:
    """What is timed, and what goes before each run of it outside of the clock."""

    run: Callable[[], object]
    prepare: Callable[[], None] = _nothing


def compare(
    model: Path,
    against: Path,
    feed: Feed,
    interface: Interface,
    *,
    threads: int = 1,
    runs: int = 400,
    max_seconds: float = 30.0,
    native: bool = True,
    undecided: tuple[float, float] | None = None,
) -> Comparison:
    """What `model` takes as a share of `against`, with its spread and both latencies; as `latency` for two files.

    undecided: the ratios between which the answer is open; it ends early when all rounds are on one side of them.
    """
    opened = {
        name: session(path, threads=threads, native=native)
        for name, path in (("model", model), ("against", against))
    }
    taken = time_sessions(
        opened,
        dict.fromkeys(opened, one_run(feed, interface)),
        threads=threads,
        runs=runs,
        max_seconds=max_seconds,
        enough=None if undecided is None else lambda found: decided(found, undecided),
    )
    return compared(taken["model"], taken["against"])


def latency(
    models: Mapping[str, Path],
    feed: Feed,
    interface: Interface,
    *,
    threads: int = 1,
    runs: int = 200,
    max_seconds: float = 30.0,
    native: bool = True,
) -> dict[str, Latency]:
    """Times models of one interface on the first sample of `feed`, interleaved; `runs` is per model, after warm-up.

    When the models are so slow that one try would take longer than `max_seconds`, fewer runs are made (the result
    says how many), but at least three each. Raises MeasureError when a model fails.
    """
    given = (feed, interface)
    return latency_each(
        {name: (path, *given) for name, path in models.items()},
        threads=threads,
        runs=runs,
        max_seconds=max_seconds,
        native=native,
    )


def latency_each(
    models: Mapping[str, tuple[Path, Feed, Interface]],
    *,
    threads: int = 1,
    runs: int = 200,
    max_seconds: float = 30.0,
    native: bool = True,
) -> dict[str, Latency]:
    """As `latency`, for models that take each its own."""
    opened = {
        name: session(path, threads=threads, native=native) for name, (path, _, _) in models.items()
    }
    feeds = {name: one_run(feed, interface) for name, (_, feed, interface) in models.items()}
    return time_sessions(opened, feeds, threads=threads, runs=runs, max_seconds=max_seconds)


def time_sessions(
    opened: Mapping[str, ort.InferenceSession],
    feeds: Mapping[str, Mapping[str, npt.NDArray[np.generic]]],
    *,
    threads: int,
    runs: int,
    max_seconds: float = 30.0,
    enough: Enough | None = None,
) -> Taken:
    """As `latency`, for sessions that are open (with `threads` threads) and tensors as each of them takes them.

    enough: asked after some rounds whether they tell what is wanted.
    """
    bound = {name: Bound(one, feeds[name]) for name, one in opened.items()}
    calls = {name: Call(one.run, one.prepare) for name, one in bound.items()}
    return time_calls(calls, threads=threads, runs=runs, max_seconds=max_seconds, enough=enough)


def time_calls(
    calls: Mapping[str, Call],
    *,
    threads: int,
    runs: int,
    max_seconds: float = 30.0,
    enough: Enough | None = None,
) -> Taken:
    """As `latency`, for anything that can be called: models of several runtimes take turns in one clock.

    threads: that each works with, for the record. Raises ConfigError for no runs, MeasureError when a call fails.
    """
    if runs < 1:
        raise ConfigError(f"runs: got {runs}, allowed: 1 or more")
    if not calls:
        return {}
    return steadiest(lambda: _take_turns(calls, threads, runs, max_seconds, enough), enough)


def steadiest(take: Callable[[], Taken], enough: Enough | None = None) -> Taken:
    """The first steady one of at most three tries, or the first that is `enough`, or the steadiest; that there is no
    better one is said at WARNING."""
    best: Taken = {}
    least = math.inf
    for _ in range(_TRIES):
        taken = take()
        if enough is not None and enough(taken):
            return taken
        found = unsteadiness(taken)
        if not best or found < least:
            best, least = taken, found
        if least == 0:
            return best
    _warn_once("the machine is busy" if least == math.inf else "rounds of one run disagree")
    return best


@cache
def _warn_once(why: str) -> None:
    """A compile times hundreds of models; the same trouble is said once."""
    logger.warning(
        "%s, also when timed %d times: ratios of latencies may be wrong and are not remembered; "
        "time again when it is quiet",
        why,
        _TRIES,
    )


def _take_turns(
    calls: Mapping[str, Call],
    threads: int,
    runs: int,
    max_seconds: float,
    enough: Enough | None,
) -> Taken:
    deadline = time.perf_counter() + max_seconds
    with _no_garbage_collection():
        turn_ms = sum(_warm_up(name, call, max_seconds / 4) for name, call in calls.items())
        affordable = int(max_seconds * 1000 / max(turn_ms, 1e-6))
        rounds, burst = _plan(runs, affordable)
        bursts = _interleave(
            calls,
            rounds,
            burst,
            deadline,
            None if enough is None else lambda made: enough(latencies(made, threads)),
        )
    return latencies(bursts, threads)


def _warm_up(name: str, call: Call, max_seconds: float) -> float:
    """Runs the model until it is warm; the median of the last runs in ms. A very slow model is run twice."""
    times_ns: list[int] = []
    began = time.perf_counter()
    while len(times_ns) < WARM_UP_RUNS:
        call.prepare()
        start = time.perf_counter_ns()
        try:
            call.run()
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
    runs = min(runs, max(affordable // 2, FEWEST_ROUNDS))
    rounds = min(_ROUNDS, max(runs, FEWEST_ROUNDS))
    return rounds, math.ceil(runs / rounds)


def _interleave(
    calls: Mapping[str, Call],
    rounds: int,
    burst: int,
    deadline: float,
    enough: Callable[[dict[str, list[Burst]]], bool] | None = None,
) -> dict[str, list[Burst]]:
    """A burst of each model per round. Ends early when time is up, when rounds are enough, or when the machine is
    plainly busy."""
    names = list(calls)
    bursts: dict[str, list[Burst]] = {name: [] for name in names}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            bursts[name].append(_burst(calls[name], burst))
        if i + 1 >= FEWEST_ROUNDS and time.perf_counter() > deadline:
            break
        if i + 1 >= _DECIDING_ROUNDS and enough is not None and enough(bursts):
            break
        if i + 1 == _HOPELESS_ROUNDS and not calm_rounds(bursts):
            break
    return bursts


def _burst(call: Call, runs: int) -> Burst:
    wall, core = time.perf_counter_ns, time.thread_time_ns
    prepare, run = call.prepare, call.run
    wall_ns, core_ns = [], []
    prepare()
    run()
    for _ in range(runs):
        prepare()
        core_start = core()
        start = wall()
        run()
        wall_ns.append(wall() - start)
        core_ns.append(core() - core_start)
    return Burst(tuple(wall_ns), tuple(core_ns))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    # Young objects alone: to walk all of a process that has loaded torch and some graphs takes half a second each time.
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
