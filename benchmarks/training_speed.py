"""How near training comes to a bare step, and training at quantised weights to training in float.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.training_speed --cases fashion cifar-resnet56 --code after

For each case the searched student is trained in four ways, by turns in one process, some steps a turn. Seconds are
those that the process spent on the CPUs, of all its threads: what others do beside it counts little, and what a second
thread prepares is not free.

bare        forward, cross-entropy, backward and the optimiser's step, on a batch that is there already
loop        the same student in `train.loop`: views, answers, the loss of the teacher, clipping, the average
graph       its exported graph in the same loop, in float: what pruned and smaller networks are trained as
quantised   the same graph with LSQ weights of 4 bits and activations on grids

Writes benchmarks/results/training_speed.json (rows: case, code, precision, threads, what, images_per_cpu_s, `to_bare`
and `to_loop`, that over the same of bare and loop, with the quartiles over rounds; of what=look and what=checkpoint,
which a training does some ten times, how many bare steps they take).
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import inherited, one_student, results_file
from benchmarks.cases import CASES, ROOT
from benchmarks.interleave import alternate
from benchmarks.one_student import Problem
from benchmarks.rounds import faster
from squeeze import students
from squeeze.guides import open_answers
from squeeze.guides.views import Views
from squeeze.quant.place import has_weights
from squeeze.spec import ArchSpec
from squeeze.steps.answering import answered
from squeeze.train import checkpoint, loop, optimiser
from squeeze.train.batches import Batches, only_input
from squeeze.train.checkpoint import Checkpoint
from squeeze.train.compute import Compute
from squeeze.train.lesson import lesson_of
from squeeze.train.pupil import Pupil
from squeeze.train.quantised.quantise import in_recovery, in_training
from squeeze.train.quantised.settings import Settings, Source

logger = logging.getLogger(__name__)

RESULTS = ROOT / "benchmarks/results/training_speed.json"
STEPS = 1_000_000  # never ends: the turns take what they want
BITS = 4
WARM_STEPS = 4

Json = dict[str, Any]  # Any: JSON
Turn = Callable[[], float]  # seconds


def bare(arch: ArchSpec, batches: Batches, compute: Compute) -> Iterator[Tensor]:
    """Steps of the student of `arch` on one batch."""
    module = students.build(arch, seed=0).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    half = compute.dtype_for(module) is torch.bfloat16
    rate = 0.01
    groups: optimiser.Groups = [{"params": list(module.parameters()), "weight_decay": 0.0}]
    moved = optimiser.made(optimiser.SGD, groups, rate)
    batch = batches.at(0)
    x, labels = only_input(batch.x), batch.answers.logits.argmax(1)
    while True:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = module(x)
        loss = functional.cross_entropy(logits.float(), labels)
        moved.zero_grad()
        loss.backward()
        moved.step()
        yield loss


def turn(steps: Iterator[Tensor], count: int) -> Turn:
    """Seconds of the next `count` steps."""

    def taken() -> float:
        began = time.process_time()
        for _ in range(count):
            next(steps)
        return time.process_time() - began

    return taken


def timed(work: Callable[[], object]) -> Turn:
    """Seconds of one call."""

    def taken() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return taken


def rows_of(
    problem: Problem, arch: ArchSpec, given: argparse.Namespace, precision: str, threads: int
) -> list[Json]:
    """One row for each way."""
    case, part, run = problem.case, problem.recipe.distill, problem.run
    compute = Compute.choose("cpu", "fp32" if precision == "fp32" else "bf16")
    answers = answered(run, case, part).path
    views = Views(case.data, part, one_student.SEED)
    guide = open_answers(views, folder=answers)
    lesson = lesson_of(part, case.data, guide, case.teacher.output_activation)
    size = part.batch_size
    batches = Batches(case.data, views, guide, lesson, size, one_student.SEED, "cpu")
    told = part.model_copy(update={"steps": STEPS})
    course = loop.Course(STEPS, size, one_student.SEED, 1e9, part.lr, "distill.lr")
    with compute.session(threads), tempfile.TemporaryDirectory() as scratch:
        pupil = Pupil(arch, told, batches, compute, seed=one_student.SEED)
        graph = one_student.graph_of(problem, arch, Pupil(arch, told, batches, compute, seed=1))
        source = Source(case.data, part, answers, one_student.SEED, case.teacher.output_activation)
        settings = Settings(STEPS, problem.recipe.quant.lr, size)
        bits = {str(node.outputs[0].name): BITS for node in graph.graph if has_weights(node)}
        plain, plain_batches = in_recovery(graph, settings, source, compute)
        grids, grid_batches = in_training(graph, bits, settings, source, compute, 0.0)
        ways = {
            "bare": bare(arch, batches, compute),
            "loop": loop.steps(pupil, batches.at, course),
            "graph": loop.steps(plain, plain_batches.at, course),
            "quantised": loop.steps(grids, grid_batches.at, course),
        }
        for steps in ways.values():
            turn(steps, WARM_STEPS)()
        names = cycle(("even", "odd"))
        turns: dict[str, Turn] = {name: turn(steps, given.steps) for name, steps in ways.items()}
        turns["look"] = timed(pupil.quality)
        turns["checkpoint"] = timed(
            lambda: checkpoint.write(Path(scratch), Checkpoint(1, pupil.state(), []), next(names))
        )
        seconds = {n: np.array(t) for n, t in alternate(turns, given.rounds).items()}
    told_of = {"code": given.code, "precision": precision, "threads": threads}
    bare_s = np.median(seconds["bare"]) / given.steps
    rows = []
    for what, taken in seconds.items():
        row = {**told_of, "what": what}
        if what not in ways:
            rows.append({**row, "bare_steps": round(float(np.median(taken) / bare_s), 1)})
            continue
        row["images_per_cpu_s"] = round(given.steps * size / float(np.median(taken)))
        for key, other in (("to_bare", "bare"), ("to_loop", "loop")):
            found = faster(taken, seconds[other])
            row[key] = round(found.ratio, 3)
            row[f"{key}_quartiles"] = [round(found.low, 3), round(found.high, 3)]
        rows.append(row)
    return rows


def main() -> None:
    """Measures each case, writes its rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["fashion", "cifar-resnet56"])
    parser.add_argument("--code", default="after", help="what the rows are called")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", choices=("bf16", "fp32"), default=["bf16"])
    parser.add_argument("--images", type=int, default=4000, help="of the fit split")
    parser.add_argument("--evaluations", type=int, default=60, help="of the search")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6, help="of a turn")
    given = parser.parse_args()
    overrides = {"distill.views": 2, "search.evaluations": given.evaluations}
    for name in given.cases:
        problem = one_student.opened(name, given.images, overrides)
        arch, _ = inherited.picked(problem, inherited.anew)
        assert isinstance(arch, ArchSpec)  # a search gives one
        rows = []
        for precision in given.precisions:
            for threads in given.threads:
                rows += rows_of(problem, arch, given, precision, threads)
        for row in rows:
            print(json.dumps(row), flush=True)
        case = f"{name}, {given.code}"
        command = (
            f"python -m benchmarks.training_speed --cases {name} --code {given.code} --threads "
            f"{' '.join(map(str, given.threads))} --precisions {' '.join(given.precisions)} --images {given.images} "
            f"--evaluations {given.evaluations} --rounds {given.rounds} --steps {given.steps}"
        )
        kept = [{"case": case, "arch": arch.family, **row} for row in rows]
        results_file.write(RESULTS, command, kept, case=case, arch=arch.model_dump(mode="json"))


if __name__ == "__main__":
    main()
