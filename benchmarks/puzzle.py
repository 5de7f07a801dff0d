"""A network of replaced parts against the teacher made smaller and a searched student: same teacher, bound and minutes.

    python -m benchmarks.puzzle --cases fashion --minutes 3 --seeds 2

`anew` and `inherited` are those of benchmarks.inherited, whose options these are; `puzzle` replaces parts
(`squeeze.shrink.puzzle`) inside the same bounds. What was done before the minutes stands in `begin_s`, of
`puzzle` with the fitting of all replacements. Writes benchmarks/results/puzzle.json, rows as benchmarks.inherited does.
"""

from __future__ import annotations

import argparse

import onnx_ir as ir

from benchmarks import results_file
from benchmarks.cases import ROOT
from benchmarks.inherited import METHODS, Pick, command_of, label, options, run_case
from benchmarks.one_student import Problem
from squeeze import graph
from squeeze.steps.puzzling import fitted
from squeeze.steps.puzzling_work import parts_or_why, piece_together
from squeeze.steps.shrinking_work import CHILD
from squeeze.workdir import Step

RESULTS = ROOT / "benchmarks/results/puzzle.json"


def puzzle(problem: Problem) -> tuple[ir.Model, Step]:
    """The graph of the teacher with parts replaced, and the step that chose them."""
    case = problem.case
    example = case.data.feed(case.data.calibrate, 0, 2)
    count, why = parts_or_why(graph.load(problem.base.file), case.interface, example)
    assert not why
    pieces = fitted(problem.run, case, problem.device, problem.recipe.puzzle, problem.base, count)
    bounds = {name: given for name, given in problem.bounds().items() if name != "seed"}
    step = problem.run.step("puzzle", piece_together, base=problem.base, pieces=pieces, **bounds)
    return graph.load(step.path / CHILD), step


ALL: dict[str, Pick] = {**METHODS, "puzzle": puzzle}


def main() -> None:
    """Trains what is missing, writes the rows of each case."""
    parser: argparse.ArgumentParser = options(__doc__.split("\n")[0], ALL)
    parser.add_argument("--fit-steps", type=int, default=200, help="of each replacement")
    given = parser.parse_args()
    for name in given.cases:
        rows = run_case(name, given, ALL, {"puzzle.steps": given.fit_steps})
        command = f"{command_of('puzzle', name, given)} --fit-steps {given.fit_steps}"
        results_file.write(RESULTS, command, rows, case=label(name, given))


if __name__ == "__main__":
    main()
