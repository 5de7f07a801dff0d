"""Students that inherit against students that begin anew: the same teacher, bound, loss, views and minutes.

    python -m benchmarks.inherited --cases fashion --minutes 1 3 --seeds 2
    python -m benchmarks.inherited --cases cifar-resnet56 --minutes 45 --seeds 1 --size 114KB

For each case the searched student (weights at random) and the smaller teacher (`squeeze.shrink`) are picked as a
compile does, inside the same recipe's bounds; then each is distilled for as many steps as fit into the minutes of one
core. Minutes are those of the process, so that what runs beside it does not count; a few steps are timed first. Picking
is not in them, and stands in `begin_s`. Finished runs stay in build/bench/inherited: an interrupted benchmark goes on.
Writes benchmarks/results/training.json (rows: case, method, seed, minutes, images, steps, begin_s, metric and
teacher_metric in points of top-1 on the evaluate split, which no training sees, bytes and latency of the int8 file and
of the float teacher).
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from benchmarks import results_file
from benchmarks.cases import CASES, ROOT, cache_dir
from squeeze import graph, measure, quant, runtimes, steps
from squeeze.case import Case
from squeeze.device import Device
from squeeze.front import Candidate
from squeeze.guides import open_answers
from squeeze.guides.views import Views
from squeeze.quant.rough import quickest
from squeeze.quantities import byte_count
from squeeze.run import Run
from squeeze.spec import ArchSpec, DistillPart, Recipe, SearchPart, load_recipe
from squeeze.steps.answering import answered
from squeeze.steps.exporting import student_graph
from squeeze.steps.fewer_samples import with_rows
from squeeze.steps.samples import calibration_passes
from squeeze.steps.searching import costs_asked, search
from squeeze.steps.shrinking_work import CHILD, shrink
from squeeze.train import loop
from squeeze.train.batches import Batches
from squeeze.train.lesson import lesson_of
from squeeze.train.pupil import Pupil
from squeeze.train.quantised.door import network_of, to_float
from squeeze.train.quantised.settings import Settings
from squeeze.train.quantised.trainer import Trainer
from squeeze.workdir import Step, digest_file

logger = logging.getLogger(__name__)

RESULTS = ROOT / "benchmarks/results/training.json"
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


def anew(problem: Problem) -> tuple[ArchSpec, Step]:
    """The searched architecture, and the step that found it."""
    step = problem.run.step("search", search, **problem.bounds())
    return ArchSpec.model_validate(step.result["search"]["arch"]), step


def inherited(problem: Problem) -> tuple[ir.Model, Step]:
    """The graph of the smaller teacher, and the step that picked it."""
    step = problem.run.step("shrink", shrink, base=problem.base, **problem.bounds())
    return graph.load(step.path / CHILD), step


Pick = Callable[[Problem], tuple["ArchSpec | ir.Model", Step]]
METHODS: dict[str, Pick] = {"anew": anew, "inherited": inherited}


def picked(problem: Problem, pick: Pick) -> tuple[ArchSpec | ir.Model, Json]:
    """What is trained, and what its choice said."""
    began = time.process_time()
    found, step = pick(problem)
    kept = step.path.parent / f"{step.path.name}.seconds.json"
    if not kept.is_file():
        kept.write_text(json.dumps(round(time.process_time() - began, 1)))
    return found, {"begin_s": json.loads(kept.read_text()), "why": step.result["summary"]}


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
    from safetensors.torch import save_file

    case = problem.case
    sample = case.data.feed(case.data.calibrate, 0, 3)
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights.safetensors"
        save_file(pupil.finished().state_dict(), weights)
        model = student_graph(arch, weights, case.teacher, sample, 20)
    graph.optimise(model, case.data.feed(case.data.calibrate, 0, 1), case.interface)
    return model


def shipped(problem: Problem, model: ir.Model) -> Json:
    """Top-1, bytes and latency of the int8 file, and of the teacher beside it."""
    case, device = problem.case, problem.device
    sample = case.data.feed(case.data.calibrate, 0, 1)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "int8.onnx"
        made = quant.quantize(
            model,
            calibration_passes(case, problem.recipe.quant, seed=SEED, threads=THREADS),
            activations=device.numerics.activations,
            part=quickest(problem.recipe.quant),
            reduce_range=device.numerics.safe_weights,
        ).model
        graph.save(graph.lower(made)[0] if device.numerics.native else made, file)
        ran = measure.compare(
            file,
            case.net.file,
            sample,
            case.interface,
            threads=THREADS,
            runs=LATENCY_RUNS,
            max_seconds=LATENCY_SECONDS,
        )
        return {
            "metric": _top1(case, file),
            "bytes": file.stat().st_size,
            "latency_p50_ms": ran.model_p50_ms,
            "teacher_bytes": case.net.file.stat().st_size,
            "teacher_latency_p50_ms": ran.model_p50_ms / ran.ratio,
        }


def _top1(case: Case, file: Path) -> float:
    data, truth = case.data, case.data.evaluate.y
    assert truth is not None
    session = runtimes.session(file)
    right = 0
    for start in range(0, len(truth), BATCH):
        feed = data.feed(data.evaluate, start, min(start + BATCH, len(truth)))
        (found,) = runtimes.infer(session, feed, case.interface).values()
        right += int((found.argmax(1) == truth[start : start + BATCH]).sum())
    return 100 * right / len(truth)


def run_case(
    name: str,
    given: argparse.Namespace,
    methods: Mapping[str, Pick] = METHODS,
    overrides: Json | None = None,
    tag: str = "",
) -> list[Json]:
    """One row for each method, seed and number of minutes. overrides: of the recipe, beside what was given; `tag` keeps
    runs with other ones apart."""
    problem = opened(
        name,
        given.images,
        {
            "distill.views": given.views,
            "search.evaluations": given.evaluations,
            "shrink.lr": given.lr,
            "search.speedup": given.speedup,
            "search.shrink": given.smaller,
            "goal.max_bytes": byte_count(given.size) if given.size else None,
            **(overrides or {}),
        },
    )
    kept_teacher = problem.folder / "teacher.json"
    if not kept_teacher.is_file():
        kept_teacher.write_text(json.dumps(_top1(problem.case, problem.case.net.file)))
    rows = []
    for minutes in given.minutes:
        for seed in range(given.seeds):
            for method in given.methods:
                fit = len(problem.case.data.fit)
                rate = "" if method == "anew" else f"-{given.lr:g}"
                asked = f"{given.speedup:g}x{given.size}{_smaller(given)}{tag}".replace(" ", "-")
                kept = problem.folder / f"{method}{rate}-{fit}-{asked}-{minutes:g}-{seed}.json"
                if not kept.is_file():
                    what, said = picked(problem, methods[method])
                    model, count = trained(
                        problem, what, problem.recipe.distill, seed, 60 * minutes
                    )
                    row = {
                        "case": label(name, given),
                        "method": method,
                        "seed": seed,
                        "minutes": minutes,
                        "images": fit,
                        "steps": count,
                        **said,
                        **shipped(problem, model),
                        "teacher_metric": json.loads(kept_teacher.read_text()),
                    }
                    kept.write_text(json.dumps(row), encoding="utf-8")
                rows.append(json.loads(kept.read_text(encoding="utf-8")))
                logger.warning(
                    "%s %s %g min seed %d: %.2f", name, method, minutes, seed, rows[-1]["metric"]
                )
    return rows


def options(said: str, methods: Iterable[str]) -> argparse.ArgumentParser:
    """What a comparison of these methods takes."""
    parser = argparse.ArgumentParser(description=said)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["fashion"])
    parser.add_argument("--methods", nargs="+", choices=methods, default=list(methods))
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 3])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--images", type=int, default=0, help="of the fit split; 0 for all")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--evaluations", type=int, default=160, help="of the search")
    parser.add_argument("--lr", type=float, default=0.05, help="peak rate of those that inherit")
    parser.add_argument("--speedup", type=float, default=8.0, help="that is asked of a student")
    parser.add_argument(
        "--smaller", type=float, default=SearchPart().shrink, help="that is asked of its file"
    )
    parser.add_argument("--size", default="", help="that a student has at most, such as 114KB")
    return parser


def label(name: str, given: argparse.Namespace) -> str:
    """What the rows of a case are called: by the bound, too, so that those of another one stay."""
    return f"{name}-{given.size or f'{given.speedup:g}x'}{_smaller(given)}"


def _smaller(given: argparse.Namespace) -> str:
    """Of a name, where fewer bytes than a recipe's are asked for, or more."""
    return "" if given.smaller == SearchPart().shrink else f" and {given.smaller:g}x smaller"


def command_of(module: str, name: str, given: argparse.Namespace) -> str:
    """The command that makes the rows of one case again."""
    return (
        f"python -m benchmarks.{module} --cases {name} --minutes "
        f"{' '.join(f'{m:g}' for m in given.minutes)} --seeds {given.seeds} --images {given.images} "
        f"--views {given.views} --evaluations {given.evaluations} --lr {given.lr:g} --speedup {given.speedup:g} "
        f"--smaller {given.smaller:g} {f'--size {given.size} ' if given.size else ''}"
        f"--methods {' '.join(given.methods)}"
    )


def main() -> None:
    """Trains what is missing, writes the rows of each case."""
    given = options(__doc__.split("\n")[0], METHODS).parse_args()
    for name in given.cases:
        command = command_of("inherited", name, given)
        results_file.write(RESULTS, command, run_case(name, given), case=label(name, given))


if __name__ == "__main__":
    main()
