"""Where time, MACs and bytes of a model are, node by node as it runs: the table of the report."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import ops
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
    """Joins what ran with what the file says: by name, and nodes of ours in compact files, which have none, by operator
    and shape in their order. A node of the file is given away once."""
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
        found = next((c for c in left if _multiplies(node.op) and plain in c.aliases), None)
        if found is None and plain not in named and node.op in ops.SIGNATURES:
            alike = (c for c in left if c.op == node.op and c.shape[1:] == node.shape[1:])
            found = next(alike, None)
            if found is not None:
                row["name"] = f"{node.op}_{len(rows)}"
        if found is not None:
            left.remove(found)
        row["macs"] = None if found is None else found.macs
        row["bits"] = None if found is None else found.weight_bits
        row["bytes"] = None if found is None else found.weight_bytes
        rows.append(row)
    return rows


def _multiplies(op: str) -> bool:
    return any(word in op for word in ("Conv", "Gemm", "MatMul", "GRU", "LSTM", "RNN"))
