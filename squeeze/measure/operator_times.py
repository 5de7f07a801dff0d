"""What each operator of a measured model takes, and moves: the rows of a profile, for bars and the roofline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx

from squeeze.account.operations import operations
from squeeze.account.roofline import roofline
from squeeze.account.weigh import complexity
from squeeze.measure.layer_table import ADDED, profiled, table
from squeeze.target import Peak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from squeeze.feed import Array
    from squeeze.target import Target

Json = dict[str, Any]  # Any: JSON


def operators_of(
    known: Sequence[Json], file: Path, inputs: Mapping[str, Array], target: Target
) -> list[Json]:
    """`known`, what the runtime said, or where that is ONNX Runtime what its profiler says, with the bytes that each
    reads and writes where the file tells. Raises MeasureError where the model does not run."""
    rows = [dict(row) for row in known]
    if target.runtime.name == "onnxruntime":
        shapes = {name: x.shape for name, x in inputs.items()}
        costs = complexity(file, shapes).nodes
        nodes = table(profiled(file, inputs, threads=target.runtime.threads), costs)
        rows = [{k: node.get(k) for k in ("name", "op", "share", "us", "macs")} for node in nodes]
        # Laid out anew or fused, a node has a name of the runtime's, from its value; people know the file's.
        graph = onnx.load(file, load_external_data=False).graph
        own = {value: node.name for node in graph.node for value in node.output if node.name}
        own |= {alias: cost.name for cost in costs for alias in cost.aliases}
        for row in rows:
            row["name"] = own.get(ADDED.sub("", row["name"]), row["name"])
    moved = _bytes_moved(file, inputs)
    return [{**row, "bytes": moved.get(ADDED.sub("", str(row["name"])))} for row in rows]


def _bytes_moved(file: Path, inputs: Mapping[str, Array]) -> dict[str, int]:
    """By all names that the runtime may give an operation of the file; nothing of what is no .onnx."""
    if file.suffix != ".onnx":
        return {}
    shapes = {name: x.shape for name, x in inputs.items()}
    moved = {part.name: part.bytes for part in roofline(operations(file, shapes), Peak()).parts}
    for node in complexity(file, shapes).nodes:
        known = next((moved[alias] for alias in node.aliases if alias in moved), None)
        if known is not None:
            moved |= dict.fromkeys(node.aliases, known)
    return moved
