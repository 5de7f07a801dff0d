"""What files cost on a target, by its own runtime: timed in turns where it runs here, else what its compiler says.

Numbers of one call are of one class (`Cost.source`). A runtime without a latency is compared by what its compiler
counts instead: bytes that go to and from memory, then the memory that the model computes in, then those of its file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from squeeze.errors import MeasureError
from squeeze.feed import count, part, repeated
from squeeze.measure.comparison import Comparison, compared
from squeeze.measure.rounds import Burst, latencies
from squeeze.measure.timing import Call, time_calls
from squeeze.runtimes.inference import BATCH_SIZE, tensors
from squeeze.runtimes.runtime import Cost, InThisProcess, TimesItself

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from squeeze.feed import Array, Feed
    from squeeze.interface import Interface
    from squeeze.measure.rounds import Latency
    from squeeze.runtimes.runtime import Built, Runtime

_BYTES_A_PROCESS = 1 << 26

MEMORY = "working memory"


@dataclass(frozen=True)
class Figure:
    """The number that a target is judged by. unit: ms, or bytes of `what`."""

    what: str
    value: float
    unit: str


def figure_of(cost: Cost) -> Figure:
    """Latency where there is one, else bytes of traffic, else of memory. Raises MeasureError where there is nothing."""
    if cost.latency_ms is not None:
        return Figure("latency", cost.latency_ms, "ms")
    if cost.traffic_bytes:
        return Figure("memory traffic", float(sum(cost.traffic_bytes.values())), "bytes")
    if cost.ram_bytes is not None:
        return Figure(MEMORY, float(cost.ram_bytes), "bytes")
    if cost.file_bytes is not None:
        return Figure("size of the file", float(cost.file_bytes), "bytes")
    raise MeasureError(
        "nothing is known of what the model costs there: no latency, no traffic, no memory"
    )


def costs_on(
    runtime: Runtime,
    built: Mapping[str, Built],
    inputs: Mapping[str, Array],
    *,
    threads: int,
    runs: int,
    max_seconds: float,
    operators: bool = False,
    first_look: bool = False,
    own_inputs: Mapping[str, Mapping[str, Array]] | None = None,
) -> tuple[dict[str, Cost], dict[str, Latency]]:
    """The cost of each of some models on one runtime, and their latencies where they took turns here.

    inputs: the tensors of one run by name; own_inputs: of models that take others. operators: what each of them takes
    as well, which is measured apart where models take turns. first_look: the first rounds are enough, steady or not.
    Raises MeasureError when a model fails.
    """
    given = {name: (own_inputs or {}).get(name, inputs) for name in built}
    itself = runtime.abilities.times_itself
    if itself:
        taken = _timed_there(cast(TimesItself, runtime), built, given, threads, runs, max_seconds)
    elif runtime.abilities.in_this_process:
        caller = cast(InThisProcess, runtime).caller
        calls = {name: Call(caller(one, given[name])) for name, one in built.items()}
        taken = time_calls(
            calls,
            threads=threads,
            runs=runs,
            max_seconds=max_seconds,
            enough=(lambda _: True) if first_look else None,
        )
    else:
        return {name: runtime.cost(one, given[name]) for name, one in built.items()}, {}
    costs = {
        name: runtime.cost(one, given[name])
        if operators and not itself
        else Cost("measured", file_bytes=one.runs.stat().st_size)
        for name, one in built.items()
    }
    return {name: _timed(costs[name], latency) for name, latency in taken.items()}, taken


def compare_costs(
    costs: Mapping[str, Cost], taken: Mapping[str, Latency], model: str, against: str
) -> Comparison:
    """`model` as a share of `against`, of one call of `costs_on`: of their rounds, or of their figures."""
    if taken:
        return compared(taken[model], taken[against])
    one, other = figure_of(costs[model]), figure_of(costs[against])
    if one.what != other.what:
        raise MeasureError(f"{one.what} of one model and {other.what} of the other do not compare")
    ratio = one.value / other.value if other.value else float("inf")
    source = costs[model].source
    return Comparison(ratio, ratio, ratio, one.value, other.value, 1, True, one.what, source)


def outputs_on(
    runtime: Runtime, built: Built, feed: Feed, interface: Interface
) -> dict[str, Array]:
    """Every output of the samples of `feed`, name -> [n, ...].

    Raises UnsupportedError where the runtime gives no outputs, MeasureError when it fails or one is missing.
    """
    single = any(spec.batch_axis is None for spec in interface.inputs)
    size = 1 if single else interface.batch_size or BATCH_SIZE
    rows: dict[str, list[Array]] = {spec.name: [] for spec in interface.outputs}
    starts = range(0, count(feed), size)
    together = _runs_a_process(runtime, part(feed, 0, size))
    for first in range(0, len(starts), together):
        chunks = [part(feed, at, at + size) for at in starts[first : first + together]]
        wholes = [c if interface.batch_size is None else repeated(c, size) for c in chunks]
        given = [tensors(whole, interface) for whole in wholes]
        for chunk, found in zip(chunks, _run_each(runtime, built, given), strict=True):
            for spec in interface.outputs:
                if spec.name not in found:
                    raise MeasureError(
                        f"output '{spec.name}' is not among those that {runtime.version} gives: {', '.join(found)}"
                    )
                samples = spec.as_samples(np.asarray(found[spec.name]))
                rows[spec.name].append(samples[: count(chunk)])
    return {name: np.concatenate(values) for name, values in rows.items()}


def _runs_a_process(runtime: Runtime, chunk: Feed) -> int:
    """How many runs of such a chunk a runtime is given at once where each call begins a process of its own."""
    if not runtime.abilities.runs_many:
        return 1
    return max(1, _BYTES_A_PROCESS // max(1, sum(x.nbytes for x in chunk.values())))


def _run_each(
    runtime: Runtime, built: Built, given: Sequence[Mapping[str, Array]]
) -> list[dict[str, Array]]:
    if runtime.abilities.runs_many:
        return cast(TimesItself, runtime).run_all(built, given)
    return [runtime.run(built, one) for one in given]


def _timed_there(
    runtime: TimesItself,
    built: Mapping[str, Built],
    given: Mapping[str, Mapping[str, Array]],
    threads: int,
    runs: int,
    max_seconds: float,
) -> dict[str, Latency]:
    """Its own clock says no CPU time, so that no run can be told to have lost its core."""
    rounds = runtime.time(built, given, runs, max_seconds)
    bursts = {name: [Burst(one, one) for one in taken] for name, taken in rounds.items()}
    return latencies(bursts, threads)


def build_on(runtime: Runtime, model: Path, folder: Path) -> Built:
    """What the device loads, made in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return runtime.build(model, folder)


def _timed(cost: Cost, latency: Latency) -> Cost:
    p10, p90 = (float(p) for p in np.percentile(latency.rounds_ms, [10, 90]))
    return replace(
        cost, source="measured", latency_ms=latency.p50_ms, latency_p10_ms=p10, latency_p90_ms=p90
    )
