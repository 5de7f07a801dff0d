"""Is the child that begins nearest to its teacher the one that ends best? Children of several depths, equally fast.

    python -m benchmarks.depths --cases fashion --minutes 3 --seeds 1 --depths 0 2 4 6

The smaller teacher that a compile picks (`squeeze.shrink.choice`) is the one with the least untrained loss. Here one
child of each number of dropped blocks is made as wide as the asked speed lets it, as measured, and distilled for as
many minutes as the others. Options are those of benchmarks.inherited. Writes benchmarks/results/depths.json, rows as
there, with `depth`.
"""

from __future__ import annotations

import math
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir

from benchmarks import results_file
from benchmarks.cases import ROOT
from benchmarks.inherited import Pick, command_of, label, options, run_case
from benchmarks.one_student import Problem
from squeeze import graph
from squeeze.case import Case
from squeeze.device import Device
from squeeze.front import Candidate
from squeeze.run import At
from squeeze.shrink import Children, network_to_shrink
from squeeze.shrink.costs import Costs
from squeeze.spec import Goal, QuantPart, SearchPart
from squeeze.steps.searching import share_of
from squeeze.steps.shrinking_work import ALIGN, CHILD, bound_of, seen_of, to_graph
from squeeze.train.threads import torch_threads
from squeeze.workdir import Step, digest_file

RESULTS = ROOT / "benchmarks/results/depths.json"
TRIES, NEAR = 4, 1.05

Json = dict[str, Any]  # Any: JSON


def of_depth(
    at: At,
    *,
    depth: int,
    device: Device,
    base: Candidate,
    case: Case,
    part: SearchPart,
    quantising: QuantPart,
    goal: Goal,
    seed: int,
    threads: int,
) -> Json:
    """Writes `child.onnx`: the widest child without `depth` blocks that is about as fast as asked."""
    example = case.data.feed(case.data.calibrate, 0, 2)
    align = math.lcm(ALIGN, device.target.numerics.width_alignment)
    with torch_threads(threads), tempfile.TemporaryDirectory() as scratch:
        whole = network_to_shrink(graph.load(base.file), case.interface, example)
        children = Children(whole, seen_of(case, threads), align)
        bound = bound_of(device, case, part, goal)
        ms = bound.ratio / bound.ms_to_ratio
        for _ in range(TRIES):
            child = children.child(depth, Costs(ms, math.inf))
            model = to_graph(child.network, case, device.numerics.opset)
            ratio = share_of(device, case, quantising, model, Path(scratch), goal)
            if bound.ratio / NEAR <= ratio <= bound.ratio * NEAR:
                break
            ms *= bound.ratio / ratio
        graph.save(model, at.folder / CHILD)
    return {
        "summary": f"{child.macs / 1e6:.1f} MMACs, untrained loss {child.loss:.3f}, {ratio:.1%} of the latency",
        "digest": digest_file(at.folder / CHILD),
    }


def pick(problem: Problem, depth: int) -> tuple[ir.Model, Step]:
    """The graph of a child without so many blocks, and the step that made it."""
    step = problem.run.step("depth", of_depth, depth=depth, base=problem.base, **problem.bounds())
    return graph.load(step.path / CHILD), step


def main() -> None:
    """Trains what is missing, writes the rows of each case."""
    parser = options(__doc__.split("\n")[0], ())
    parser.add_argument("--depths", nargs="+", type=int, default=[0, 2, 4, 6])
    given = parser.parse_args()
    methods: dict[str, Pick] = {f"depth{d}": partial(pick, depth=d) for d in given.depths}
    given.methods = list(methods)
    for name in given.cases:
        rows = [
            {**row, "depth": int(row["method"].removeprefix("depth"))}
            for row in run_case(name, given, methods)
        ]
        command = command_of("depths", name, given).partition(" --methods")[0]
        command += f" --depths {' '.join(map(str, given.depths))}"
        results_file.write(RESULTS, command, rows, case=label(name, given))


if __name__ == "__main__":
    main()
