"""What the passes, the quantiser and the clock take, for networks with one input and one output, the batch first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx_ir as ir

from squeeze import graph, runtimes
from squeeze.feed import Array, Feed, Passes
from squeeze.interface import Interface, TensorSpec
from squeeze.measure import Latency
from squeeze.measure.timing import time_sessions
from squeeze.runtimes.signature import signature


def interface_of(model: ir.Model) -> Interface:
    """The only input and the only output; the batch may have any size."""
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    return Interface((_spec(x),), (_spec(y),))


def passes_of(model: ir.Model, x: Array, size: int = 32) -> Passes:
    """Passes over samples [n, ...]."""
    interface = interface_of(model)

    def begin() -> Iterator[Feed]:
        for start in range(0, len(x), size):
            yield {interface.only_input.name: x[start : start + size]}

    return Passes(interface, begin)


def optimise(model: ir.Model, x: Array) -> None:
    """The float passes, checked on the first of the samples [n, ...]."""
    interface = interface_of(model)
    graph.optimise(model, {interface.only_input.name: x[:1]}, interface)


def latencies(files: Mapping[str, Path], sample: Array, runs: int) -> dict[str, Latency]:
    """Files timed by turns on one sample [1, ...], each under the name that its own input has."""
    opened = {name: runtimes.session(path) for name, path in files.items()}
    feeds = {name: {signature(one)[0].name: sample} for name, one in opened.items()}
    return time_sessions(opened, feeds, threads=1, runs=runs)


def _spec(value: ir.Value) -> TensorSpec:
    sizes = tuple(d if isinstance(d, int) else 1 for d in list(value.shape or [])[1:])
    return TensorSpec(str(value.name), "float32", sizes)
