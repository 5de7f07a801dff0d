"""Where the time of a model goes: latency, a table per operator and per node, memory, bytes and MACs, as plain JSON.

Latency is timed without the runtime's profiler, which slows small nodes down; the shares of nodes come from a second
session that has it on. Two models are timed interleaved, so that their ratio holds on a noisy machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.account.weigh import cost
from squeeze.machine.cpu import host_name, isa
from squeeze.measure.layer_table import profiled, table
from squeeze.measure.memory import can_measure, peak_memory
from squeeze.measure.timing import Latency, compared, time_sessions
from squeeze.runtimes.fused import fused_ops
from squeeze.runtimes.ort import native_library, session, uses_our_ops
from squeeze.runtimes.signature import cast_to, generate, signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnxruntime as ort

Json = dict[str, Any]  # Any: whatever JSON can hold


def profile(
    model: Path,
    *,
    threads: int = 1,
    runs: int = 200,
    against: Path | None = None,
    sample: npt.NDArray[np.generic] | None = None,  # [1, ...]
    shape: Sequence[int] | None = None,
) -> Json:
    """Profiles an ONNX file, alone or beside another.

    Inputs are `sample`, or seeded ones made to fit the model's signature; `shape` (batch included) gives sizes to
    dimensions that may vary. Raises ConfigError when an input's size stays open, MeasureError when a
    model fails.

    The keys are those of `_report` for `model`, and for the machine. "against" is None, or the other model's report
    with "speedup" (how many times it takes what `model` takes) and "slowdown" (the other way round), each with
    the median, p10 and p90 over rounds.
    """
    models = {"model": model} if against is None else {"model": model, "against": against}
    opened = {name: session(path, threads=threads) for name, path in models.items()}
    feeds = {name: _feeds(one, sample, shape) for name, one in opened.items()}
    taken = time_sessions(opened, feeds, threads=threads, runs=runs)
    opened.clear()
    reports = {name: _report(path, taken[name], feeds[name]) for name, path in models.items()}
    other = reports.get("against")
    if other is not None:
        other["speedup"] = asdict(compared(taken["against"], taken["model"]))
        other["slowdown"] = asdict(compared(taken["model"], taken["against"]))
    return {
        "schema": 1,
        "source": "measured",
        **reports["model"],
        "against": other,
        "host": host_name(),
        "isa": list(isa()),
        "runtime": "onnxruntime",
        "runtime_version": version("onnxruntime"),
        "threads": threads,
    }


def _report(model: Path, taken: Latency, feeds: dict[str, npt.NDArray[np.generic]]) -> Json:
    first = next(iter(feeds.values()))
    weight = cost(model, first.shape)
    nodes = table(profiled(model, feeds, threads=taken.threads), weight.nodes)
    memory = None
    if can_measure():
        shapes = [x.shape for x in feeds.values()]
        memory = peak_memory(model, threads=taken.threads, shapes=shapes)
    native = uses_our_ops(model) and native_library() is not None
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
        },
        "params": weight.params,
        "macs": weight.macs,
        "macs_unknown": list(weight.unknown),
        "gmacs_per_s": weight.macs * len(first) / (taken.p50_ms * 1e6),
        "file_bytes": weight.file_bytes,
        "weight_bytes": weight.weight_bytes,
        "peak_ram_bytes": None if memory is None else memory.peak_bytes,
        "resident_ram_bytes": None if memory is None else memory.resident_bytes,
        "native_library": native,
        "optimised_ops": fused_ops(model),
        "ops": _by_op(nodes),
        "nodes": sorted(nodes, key=lambda row: -float(row["us"])),
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


def _feeds(
    opened: ort.InferenceSession,
    sample: npt.NDArray[np.generic] | None,
    shape: Sequence[int] | None,
) -> dict[str, npt.NDArray[np.generic]]:
    inputs = signature(opened)
    if sample is not None and len(inputs) == 1:
        return {inputs[0].name: cast_to(inputs[0], sample)}
    return {needs.name: generate(needs, shape, seed) for seed, needs in enumerate(inputs)}
