"""How long each kernel of a model takes, with the names of the file: of the nodes that the runtime made of it.

The runtime's profile has no values, and nodes that it fused have names of its own. So the graph is taken as the
runtime would run it, its nodes are numbered, and that graph is profiled as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from squeeze.measure.layer_table import ADDED, profiled
from squeeze.runtimes.ort import session

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class KernelTime:
    """A node of the runtime's graph: the name of the node of the file that it came from where it has one, the values
    that it reads and makes, how many numbers its first output has, and the mean time of a run in us."""

    name: str
    op: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    elements: int
    us: float


def kernel_times(
    model: Path, feeds: Mapping[str, npt.NDArray[np.generic]], *, threads: int, runs: int
) -> list[KernelTime]:
    """In the order in which they ran. Raises MeasureError."""
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        session(model, threads=threads, optimised_path=optimised)
        found = onnx.load(optimised)
        nodes = {}
        for number, node in enumerate(found.graph.node):
            nodes[f"n{number}"] = (ADDED.sub("", node.name), tuple(node.input), tuple(node.output))
            node.name = f"n{number}"
        onnx.save(found, optimised)
        times = profiled(optimised, feeds, threads=threads, runs=runs, optimise=False)
    return [
        KernelTime(name, time.op, reads, makes, prod(time.shape), time.us)
        for time in times
        if time.name in nodes
        for name, reads, makes in (nodes[time.name],)
    ]
