"""Students that inherit against students that begin anew: the same teacher, bound, loss, views and minutes.

    python -m benchmarks.inherited --cases fashion --minutes 1 3 --seeds 2
    python -m benchmarks.inherited --cases cifar-resnet56 --minutes 45 --seeds 1 --size 114KB

For each case the searched student (weights at random) and the smaller teacher (`squeeze.shrink`) are picked as a
compile does, inside the same recipe's bounds; then each is distilled for as many steps as fit into the minutes of one
core. Minutes are those of the process, so that what runs beside it does not count; a few steps are timed first. Picking
is not in them, and stands in `begin_s`. Finished runs and their files stay in build/bench/inherited: an interrupted
benchmark goes on, and `--retime` times the files again.
Writes benchmarks/results/training.json (rows: case, method, seed, minutes, images, steps, begin_s, metric and
teacher_metric in points of top-1 on the evaluate split, which no training sees, bytes and latency of the int8 file and
of the float teacher).
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import onnx_ir as ir

from benchmarks import results_file
from benchmarks.cases import CASES, ROOT
from benchmarks.one_student import Problem, opened, shipped, timed, top1, trained
from squeeze import graph
from squeeze.quantities import byte_count
from squeeze.spec import ArchSpec, SearchPart
from squeeze.steps.searching import search
from squeeze.steps.shrinking_work import CHILD, shrink
from squeeze.workdir import Step

logger = logging.getLogger(__name__)

RESULTS = ROOT / "benchmarks/results/training.json"

Json = dict[str, Any]  # Any: JSON


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
        kept_teacher.write_text(json.dumps(top1(problem.case, problem.case.net.file)))
    rows = []
    for minutes in given.minutes:
        for seed in range(given.seeds):
            for method in given.methods:
                fit = len(problem.case.data.fit)
                rate = "" if method == "anew" else f"-{given.lr:g}"
                asked = f"{given.speedup:g}x{given.size}{_smaller(given)}{tag}".replace(" ", "-")
                kept = problem.folder / f"{method}{rate}-{fit}-{asked}-{minutes:g}-{seed}.json"
                file = kept.with_suffix(".onnx")
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
                        **shipped(problem, model, file),
                        **timed(problem, file),
                        "teacher_metric": json.loads(kept_teacher.read_text()),
                    }
                    kept.write_text(json.dumps(row), encoding="utf-8")
                elif given.retime and file.is_file():
                    row = json.loads(kept.read_text(encoding="utf-8")) | timed(problem, file)
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
    parser.add_argument(
        "--retime", action="store_true", help="time kept files again: the machine is quieter now"
    )
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
