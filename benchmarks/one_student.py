"""One student of a benchmark case: the case opened as a compile does, trained for some seconds, its int8 file timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from benchmarks.cases import CASES, cache_dir
from squeeze import graph, measure, quant, runtimes, steps
from squeeze.case import Case
from squeeze.device import Device
from squeeze.front import Candidate
from squeeze.guides import open_answers
from squeeze.guides.views import Views
from squeeze.quant.rough import quickest
from squeeze.run import Run
from squeeze.spec import ArchSpec, DistillPart, Recipe, load_recipe
from squeeze.steps.answering import answered
from squeeze.steps.exporting import student_graph
from squeeze.steps.fewer_samples import with_rows
from squeeze.steps.samples import calibration_passes
from squeeze.steps.searching import costs_asked
from squeeze.train import loop
from squeeze.train.batches import Batches
from squeeze.train.lesson import lesson_of
from squeeze.train.pupil import Pupil
from squeeze.train.quantised.door import network_of, to_float
from squeeze.train.quantised.settings import Settings
from squeeze.train.quantised.trainer import Trainer
from squeeze.workdir import digest_file

THREADS, SEED = 1, 0
TIMED_STEPS, NORM_BATCHES, PLAIN, BATCH = 12, 20, 256, 64
LATENCY_RUNS, LATENCY_SECONDS = 200, 20.0

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Problem:
    """A case, opened: what both methods are given."""

    run: Run
    case: Case
    device: Device
    recipe: Recipe
    base: Candidate
    folder: Path

    def bounds(self) -> Json:
        """What the search and the choice of a child are given."""
        return {
            "measured_on": self.device,
            "case": self.case.blind(),
            "part": self.recipe.search,
            "quantising": self.recipe.quant,
            "goal": costs_asked(self.recipe.goal),
            "seed": SEED,
            "threads": THREADS,
        }


def opened(name: str, images: int, overrides: Json) -> Problem:
    """The case with the first `images` of the fit split (0 for all)."""
    torch.set_num_threads(THREADS)
    known, recipe = CASES[name], load_recipe("balanced", overrides)
    folder = cache_dir() / "inherited" / name
    folder.mkdir(parents=True, exist_ok=True)
    (device,) = steps.reach(["host"], recipe, data=True)
    run = steps.begin(recipe, folder / "cache", THREADS, "cpu", None)
    case = steps.load(run, str(known.teacher_path()), None, known.calib(), None, trained=True)
    case = with_images(case, images) if images else case
    file = folder / "float.onnx"
    model = graph.load(case.net.file)
    graph.optimise(model, case.data.feed(case.data.calibrate, 0, 1), case.interface)
    graph.save(model, file)
    return Problem(
        run,
        case,
        device,
        recipe,
        Candidate(case.net, "float", file, digest_file(file), 0.0),
        folder,
    )


def with_images(case: Case, count: int) -> Case:
    """The case with so many images of a fixed draw of the fit split."""
    chosen = np.sort(case.data.sample(case.data.fit, count))
    return with_rows(case, chosen, f"{len(chosen)} images")


def trained(
    problem: Problem, what: ArchSpec | ir.Model, part: DistillPart, seed: int, seconds: float
) -> tuple[ir.Model, int]:
    """The float graph after as many steps as take `seconds` of this process, and how many those are."""
    case, run = problem.case, problem.run
    views = Views(case.data, part, SEED)
    guide = open_answers(views, folder=answered(run, case, part).path)
    lesson = lesson_of(part, case.data, guide, case.teacher.output_activation)
    batches = Batches(case.data, views, guide, lesson, part.batch_size, seed, run.compute.device)

    def learner(count: int) -> tuple[loop.Learner, Callable[[], ir.Model]]:
        told = part.model_copy(update={"steps": count})
        if isinstance(what, ArchSpec):
            pupil = Pupil(what, told, batches, run.compute, seed=seed)
            return pupil, lambda: graph_of(problem, what, pupil)
        network = network_of(what, lambda: batches.plain(PLAIN, BATCH)).train()
        settings = Settings(count, problem.recipe.shrink.lr, part.batch_size)
        trainer = Trainer(
            network,
            lesson.loss,
            settings,
            dtype=run.compute.dtype_for(network),
            mean=torch.from_numpy(lesson.mean),
            spread=lesson.spread,
        )

        def finished() -> ir.Model:
            network.estimate_norms(batches.at(i).x for i in range(NORM_BATCHES))
            return to_float(what, network.eval())

        return trainer, finished

    def go(count: int) -> Callable[[], ir.Model]:
        made, finished = learner(count)
        course = loop.Course(count, part.batch_size, seed, 1e9, part.lr, "distill.lr")
        for _ in loop.steps(made, batches.at, course):
            pass
        return finished

    with run.compute.session(THREADS):
        go(2)
        began = time.process_time()
        go(TIMED_STEPS)
        count = max(1, int(seconds / (time.process_time() - began) * TIMED_STEPS))
        return go(count)(), count


def graph_of(problem: Problem, arch: ArchSpec, pupil: Pupil) -> ir.Model:
    """The float graph of a trained student."""
    from safetensors.torch import save_file

    case = problem.case
    sample = case.data.feed(case.data.calibrate, 0, 3)
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights.safetensors"
        save_file(pupil.finished().state_dict(), weights)
        model = student_graph(arch, weights, case.teacher, sample, 20)
    graph.optimise(model, case.data.feed(case.data.calibrate, 0, 1), case.interface)
    return model


def shipped(problem: Problem, model: ir.Model, file: Path) -> Json:
    """Writes the int8 file, as it is shipped; its top-1 and bytes, and those of the teacher."""
    case, device = problem.case, problem.device
    made = quant.quantize(
        model,
        calibration_passes(case, problem.recipe.quant, seed=SEED, threads=THREADS),
        activations=device.numerics.activations,
        part=quickest(problem.recipe.quant),
        reduce_range=device.numerics.safe_weights,
    ).model
    graph.save(graph.lower(made)[0] if device.numerics.native else made, file)
    return {
        "metric": top1(case, file),
        "bytes": file.stat().st_size,
        "teacher_bytes": case.net.file.stat().st_size,
    }


def timed(problem: Problem, file: Path) -> Json:
    """Latency of a file, and of the teacher in turns with it."""
    case = problem.case
    ran = measure.compare(
        file,
        case.net.file,
        case.data.feed(case.data.calibrate, 0, 1),
        case.interface,
        threads=THREADS,
        runs=LATENCY_RUNS,
        max_seconds=LATENCY_SECONDS,
    )
    return {
        "latency_p50_ms": ran.model_p50_ms,
        "teacher_latency_p50_ms": ran.model_p50_ms / ran.ratio,
    }


def top1(case: Case, file: Path) -> float:
    """In points, on the evaluate split."""
    data, truth = case.data, case.data.evaluate.y
    assert truth is not None
    session = runtimes.session(file)
    right = 0
    for start in range(0, len(truth), BATCH):
        feed = data.feed(data.evaluate, start, min(start + BATCH, len(truth)))
        (found,) = runtimes.infer(session, feed, case.interface).values()
        right += int((found.argmax(1) == truth[start : start + BATCH]).sum())
    return 100 * right / len(truth)
