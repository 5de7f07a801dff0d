"""Reads ONNX Runtime's profile: how long each node's kernel took, per run."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from squeeze.errors import MeasureError

_SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class NodeTime:
    """A node of the optimised graph, the shape of its first output, and its time in us: the mean of the middle half
    of all runs.

    The profiler counts whole microseconds, so a median would be too coarse for small nodes.
    """

    name: str
    op: str
    us: float
    shape: tuple[int, ...]


def node_times(path: Path, *, skip_runs: int = 0) -> list[NodeTime]:
    """The nodes in the order in which they ran. The first `skip_runs` runs warm up and are left out.

    A node that ran several times within a run (in a loop) has the sum. Raises MeasureError when there is
    no whole run in the profile.
    """
    try:
        events = json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise MeasureError(f"{path}: onnxruntime's profile cannot be read: {e}") from e
    starts = sorted(e["ts"] for e in events if e.get("name") == "model_run")
    if len(starts) <= skip_runs:
        raise MeasureError(f"{path}: onnxruntime's profile holds {len(starts)} runs, too few")
    shapes: dict[tuple[int, str, str], tuple[int, ...]] = {}
    per_run: dict[tuple[int, str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith(_SUFFIX):
            continue
        run = bisect_right(starts, event["ts"]) - 1
        if run < skip_runs:
            continue
        about = event["args"]
        key = (int(about["node_index"]), event["name"].removesuffix(_SUFFIX), about["op_name"])
        per_run[key][run] += event["dur"]
        # [{"float": [1, 16]}, ...]; empty where an output is no tensor
        outputs = about.get("output_type_shape") or [{}]
        shapes[key] = tuple(next(iter(outputs[0].values()), ()))
    return [
        NodeTime(name or f"{op}_{index}", op, _middle(list(us.values())), shapes[index, name, op])
        for (index, name, op), us in per_run.items()
    ]


def _middle(us: list[int]) -> float:
    quarter = len(us) // 4
    return fmean(sorted(us)[quarter : len(us) - quarter])
