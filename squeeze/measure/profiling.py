"""Where the time of a model goes: latency, a table per operator and per node, memory, bytes and MACs, as plain JSON.

Latency is timed without the runtime's profiler, which slows small nodes down; the shares of nodes come from a second
session that has it on. Two models are timed interleaved, so that their ratio holds on a noisy machine.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.account.liveness import liveness
from squeeze.account.weigh import complexity
from squeeze.errors import ConfigError, MeasureError, unknown
from squeeze.measure.comparison import Comparison, compared
from squeeze.measure.layer_table import profiled, table
from squeeze.measure.memory import can_measure, peak_memory
from squeeze.measure.rounds import Latency
from squeeze.measure.timing import time_sessions
from squeeze.runtimes.fused import fused_ops
from squeeze.runtimes.ort import session, uses_our_ops
from squeeze.runtimes.shapes import Shape, batch_of, shapes_of
from squeeze.runtimes.signature import Input, generate, signature
from squeeze.runtimes.switches import compared_with

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnxruntime as ort

    from squeeze.machine.facts import Facts

Json = dict[str, Any]  # Any: whatever JSON can hold


def profile(
    model: Path,
    *,
    facts: Facts,
    threads: int = 1,
    runs: int = 200,
    against: Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    numbers: Mapping[str, float] | None = None,
    usual: Mapping[str, Sequence[int]] | None = None,
) -> Json:
    """Profiles an ONNX file, alone or beside another, on the machine that `facts` are of: this one.

    Inputs are seeded ones made to fit the model's signature; `shapes` (batch included) are by input, or under "" for
    all with as many axes. Sizes that may vary and that nobody gave are chosen (`squeeze.runtimes.shapes`), and said
    under "assumed". usual: shapes of inputs that nobody gave one, where a model has them. numbers: of inputs that are
    filled with one. An input of one number that the graph compares with a constant is that. Raises ConfigError for a
    shape or a name that does not fit, MeasureError when a model fails.

    The keys are those of `_report` for `model`, and for the machine. "against" is None, or the other model's report
    with "speedup" (how many times it takes what `model` takes) and "slowdown" (the other way round), each with
    the median, p10 and p90 over rounds and whether it is steady.
    """
    models = {"model": model} if against is None else {"model": model, "against": against}
    opened = {name: session(path, threads=threads) for name, path in models.items()}
    inputs = {name: signature(one) for name, one in opened.items()}
    chosen, assumed = _shapes(opened, inputs, shapes or {}, usual or {})
    filled, compared_numbers = _numbers(models, inputs, numbers or {})
    feeds = {
        name: {
            n.name: generate(n, chosen[name][n.name], i)
            if n.name not in filled[name]
            else np.full(chosen[name][n.name], filled[name][n.name], n.dtype)
            for i, n in enumerate(needs)
        }
        for name, needs in inputs.items()
    }
    try:
        taken = time_sessions(opened, feeds, threads=threads, runs=runs)
    except MeasureError as e:
        raise MeasureError(_on_made_up_inputs(str(e), models, feeds)) from e
    opened.clear()
    reports = {
        name: _report(path, taken[name], inputs[name], feeds[name], bool(facts.library))
        for name, path in models.items()
    }
    other = reports.get("against")
    if other is not None:
        found = compared(taken["against"], taken["model"])
        other["speedup"], other["slowdown"] = _ratio(found), _ratio(found.inverse)
    return {
        "schema": 1,
        "source": "measured",
        **reports["model"],
        "assumed": [*assumed, *compared_numbers],
        "against": other,
        "host": facts.host,
        "isa": list(facts.isa),
        "runtime": facts.runtime,
        "runtime_version": facts.runtime_version,
        "threads": threads,
    }


def _ratio(found: Comparison) -> Json:
    return {
        "median": found.ratio,
        "p10": found.ratio_p10,
        "p90": found.ratio_p90,
        "rounds": found.rounds,
        "steady": found.steady,
    }


def _report(
    model: Path,
    taken: Latency,
    inputs: Sequence[Input],
    feeds: dict[str, npt.NDArray[np.generic]],
    has_library: bool,
) -> Json:
    # Of the input with most axes, which is data and no threshold.
    most = max(inputs, key=lambda needs: len(needs.shape))
    axis = batch_of(most)
    batch_size = 1 if axis is None else feeds[most.name].shape[axis]
    sizes = {n: x.shape for n, x in feeds.items()}
    weight = complexity(model, sizes, batch_size=batch_size)
    nodes = table(profiled(model, feeds, threads=taken.threads), weight.nodes)
    memory = None
    if can_measure():
        memory = peak_memory(model, threads=taken.threads, feeds=feeds)
    return {
        "model": str(model),
        "inputs": {
            name: {"shape": list(x.shape), "dtype": str(x.dtype)} for name, x in feeds.items()
        },
        "latency": {
            "p50_ms": taken.p50_ms,
            "p90_ms": taken.p90_ms,
            "p99_ms": taken.p99_ms,
            "runs": taken.runs,
            "calm": taken.calm,
        },
        "params": weight.params,
        "macs": weight.macs,
        "macs_unknown": list(weight.unknown),
        "gmacs_per_s": weight.macs * batch_size / (taken.p50_ms * 1e6),
        "file_bytes": weight.file_bytes,
        "weight_bytes": weight.weight_bytes,
        "peak_ram_bytes": None if memory is None else memory.peak_bytes,
        "resident_ram_bytes": None if memory is None else memory.resident_bytes,
        "working_memory": _working_memory(model, sizes, batch_size),
        "native_library": has_library and uses_our_ops(model),
        "optimised_ops": fused_ops(model),
        "ops": _by_op(nodes),
        "nodes": sorted(nodes, key=lambda row: -float(row["us"])),
    }


def _working_memory(model: Path, sizes: Mapping[str, tuple[int, ...]], batch_size: int) -> Json:
    """What values take at their peak, and which are alive then: counted, not measured."""
    found = liveness(model, sizes, batch_size=batch_size)
    return {
        "source": "estimate",
        "peak_bytes": found.peak.bytes,
        "at": found.peak.name,
        "op": found.peak.op,
        "alive": [{"name": one.name, "bytes": one.bytes} for one in found.alive],
        "input_bytes": found.input_bytes,
        "unknown": list(found.unknown),
    }


def _by_op(nodes: list[Json]) -> list[Json]:
    groups: dict[str, list[Json]] = defaultdict(list)
    for row in nodes:
        groups[row["op"]].append(row)
    rows = [
        {
            "op": op,
            "count": len(members),
            "us": sum(m["us"] for m in members),
            "share": sum(m["share"] for m in members),
        }
        for op, members in groups.items()
    ]
    return sorted(rows, key=lambda row: -float(row["us"]))


def _shapes(
    opened: Mapping[str, ort.InferenceSession],
    inputs: Mapping[str, Sequence[Input]],
    given: Mapping[str, Sequence[int]],
    usual: Mapping[str, Sequence[int]],
) -> tuple[dict[str, dict[str, Shape]], tuple[str, ...]]:
    """By model and input, and what was assumed. Inputs that models share have one shape; the first one decides."""
    hints: dict[str, str] = {}
    for session_of in opened.values():
        hints = {**session_of.get_modelmeta().custom_metadata_map, **hints}
    chosen: dict[str, dict[str, Shape]] = {}
    assumed: dict[str, None] = {}
    shared: dict[str, Shape] = {}
    for name, needs in inputs.items():
        taken = {n.name for n in needs}
        asked = {k: v for k, v in given.items() if k in taken or not k or not shared}
        asked = {**{k: v for k, v in usual.items() if k in taken}, **asked}
        known = {n.name: shared[n.name] for n in needs if n.name in shared and _open(n, shared)}
        chosen[name], said = shapes_of(needs, {**known, **asked}, hints)
        assumed |= dict.fromkeys(said)
        shared = {**chosen[name], **shared}
    return chosen, tuple(assumed)


def _numbers(
    models: Mapping[str, Path], inputs: Mapping[str, Sequence[Input]], given: Mapping[str, float]
) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """The inputs that are filled with one number, by model and input, and what was assumed. Raises ConfigError."""
    known = {n.name: n for needs in inputs.values() for n in needs}
    for name, number in given.items():
        if name not in known:
            raise ConfigError(unknown("--input: input of the model", name, list(known)))
        if not _holds(known[name].dtype, number):
            raise ConfigError(f"--input {name}={number:g}: the input takes {known[name].dtype}")
    filled: dict[str, dict[str, float]] = {}
    assumed: dict[str, None] = {}
    for model, path in models.items():
        single = {n.name for n in inputs[model] if all(size == 1 for size in n.shape)}
        found = {n: v for n, v in compared_with(path).items() if n in single and n not in given}
        for name, number in found.items():
            text = f"input '{name}' is {number:g}, which the graph compares it with"
            assumed[f"{text} (--input {shlex.quote(name)}=NUMBER says another)"] = None
        filled[model] = {**found, **given}
    return filled, tuple(assumed)


def _holds(dtype: np.dtype[np.generic], number: float) -> bool:
    """Whether a number is one of the type; of floats any is near enough."""
    if dtype.kind == "f":
        return True
    low, high = (
        (0, 1) if dtype.kind == "b" else (np.iinfo(dtype.name).min, np.iinfo(dtype.name).max)
    )
    return float(number).is_integer() and low <= number <= high


def _on_made_up_inputs(
    error: str,
    models: Mapping[str, Path],
    feeds: Mapping[str, Mapping[str, npt.NDArray[np.generic]]],
) -> str:
    """What is said of a model that fails on inputs which nobody gave, with the file in place of `model`."""
    name, colon, rest = error.partition(": ")
    if name not in models:
        return error
    given = ", ".join(
        f"{n} {'x'.join(map(str, x.shape))}" if x.size > 1 else f"{n}={x.item():g}"
        for n, x in feeds[name].items()
    )
    return (
        f"{models[name]}{colon}{rest}. Inputs were made up ({given}); say others with --shape NAME=1x... and "
        "--input NAME=NUMBER"
    )


def _open(needs: Input, shapes: Mapping[str, Shape]) -> bool:
    """Whether the input takes its shape in `shapes`, or could."""
    shape = shapes[needs.name]
    return len(shape) == len(needs.shape) and all(
        isinstance(need, str) or need == size for need, size in zip(needs.shape, shape, strict=True)
    )
