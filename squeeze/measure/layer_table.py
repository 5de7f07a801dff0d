"""Where time, MACs and bytes of a model are, node by node as it runs: the table of the report."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.account.weigh import NodeComplexity, complexity
from squeeze.errors import MeasureError
from squeeze.measure.node_times import NodeTime, node_times
from squeeze.measure.timing import WARM_UP_RUNS
from squeeze.runtimes.inference import one_run
from squeeze.runtimes.made_feed import made_sample
from squeeze.runtimes.ort import ORT_ERRORS, first_line, session

if TYPE_CHECKING:
    import numpy.typing as npt

    from squeeze.interface import Interface

Json = dict[str, Any]  # Any: whatever JSON can hold
_PROFILED_RUNS = 50
# By a part of an operator's name; a matrix product with a bias is made a Gemm and a Gemm without one a MatMul.
_KINDS = {
    "Conv": "convolution",
    "Gemm": "product",
    "MatMul": "product",
    "GRU": "GRU",
    "LSTM": "LSTM",
    "RNN": "RNN",
}
# What the runtime puts behind the names of nodes that it fused, made up or laid out anew.
ADDED = re.compile(r"(_nchwc|_token_\d+|_QuantizeLinear|_quant)+$")


def layers(model: Path, interface: Interface, *, threads: int = 1) -> list[Json]:
    """One entry per node of the runtime's optimised graph, in running order, for a seeded sample.

    Keys: name, op, shape (of the output, as laid out at run time), us (per run, with the profiler on), share (of all
    nodes), macs, bits (of one weight: 8, 4, 3, 2, 32) and bytes (of all, with their codebooks); the last three are None
    for a node that is not one of the file's convolutions or matrix products.
    """
    return table(
        profiled(model, one_run(made_sample(interface), interface), threads=threads),
        complexity(model, batch_size=interface.batch_size or 1, shapes=interface.run_shapes).nodes,
    )


def profiled(
    model: Path,
    feeds: Mapping[str, npt.NDArray[np.generic]],
    *,
    threads: int,
    runs: int = _PROFILED_RUNS,
    optimise: bool = True,
) -> list[NodeTime]:
    """How long each node takes, in a session with the runtime's profiler on. optimise: by the runtime, see `session`.
    Raises MeasureError."""
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        prefix = Path(folder) / "profile"
        opened = session(model, threads=threads, optimise=optimise, profile_prefix=prefix)
        try:
            for _ in range(WARM_UP_RUNS + runs):
                opened.run(None, dict(feeds))
        except ORT_ERRORS as e:
            raise MeasureError(f"{model}: failed while it was profiled: {first_line(e)}") from e
        return node_times(Path(opened.end_profiling()), skip_runs=WARM_UP_RUNS)


def table(times: Iterable[NodeTime], costs: Iterable[NodeComplexity]) -> list[Json]:
    """Joins what ran with what the file says: by name, and nodes without one (fused ones, those of compact files) by
    operator and shape in their order. A node of the file is given away once."""
    times = list(times)
    left = list(costs)
    named = {alias for cost in left for alias in cost.aliases}
    total_us = sum(node.us for node in times) or 1.0
    rows: list[Json] = []
    for node in times:
        row: Json = {
            "name": node.name,
            "op": node.op,
            "shape": list(node.shape),
            "us": node.us,
            "share": node.us / total_us,
        }
        plain = ADDED.sub("", node.name)
        found = next((c for c in left if _kind(node.op) and plain in c.aliases), None)
        if found is None and plain not in named:
            found = _alike(node, left)
            if found is not None and node.name.removeprefix(f"{node.op}_").isdigit():
                row["name"] = f"{node.op}_{len(rows)}"  # no name of its own: its number
        if found is not None:
            left.remove(found)
        row["macs"] = None if found is None else found.macs
        row["bits"] = None if found is None else found.weight_bits
        row["bytes"] = None if found is None else found.weight_bytes
        rows.append(row)
    return rows


def _alike(node: NodeTime, left: Iterable[NodeComplexity]) -> NodeComplexity | None:
    """The first of the file's nodes with this operator and shape; else one that does the same sum under another name,
    as the Gemm that the runtime made a QGemm, whose layout may be another too."""
    same = [c for c in left if c.op == node.op and c.shape[1:] == node.shape[1:]]
    other = (
        c
        for c in left
        if _kind(node.op)
        and _kind(c.op) == _kind(node.op)
        and sorted(c.shape[1:], key=str) == sorted(node.shape[1:], key=str)
    )
    return same[0] if same else next(other, None)


def _kind(op: str) -> str:
    """Which sum an operator is, whatever the runtime calls its own form of it; empty for what multiplies nothing."""
    return next((name for word, name in _KINDS.items() if word in op), "")
