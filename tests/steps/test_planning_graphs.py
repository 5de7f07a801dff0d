"""Plans of pruning, of a teacher made smaller and of rungs, on a real small network: they fit, and they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from squeeze import steps
from squeeze.budget import USED, Ahead, Budget, Plan
from squeeze.errors import ConfigError
from squeeze.steps.planning import plans
from squeeze.steps.planning_graphs import recovery_steps, rung_part
from tests.steps.conftest import a_device, a_recipe, a_run
from tests.steps.test_planning import Missed
from tests.train import samples

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.front import Candidate
    from squeeze.run import Run
    from squeeze.spec import Recipe

AFTER_S = 20.0  # what is kept for what follows a training, at least


class Problem:
    """A convolutional teacher, its float file, and runs of one work folder."""

    def __init__(self, folder: Path) -> None:
        shape = samples.SHAPES["spectrogram"]
        samples.convolutional_teacher(folder, shape)
        data = samples.calib("spectrogram")
        splits = {"x_train": data.fit, "x_test": data.evaluate}
        np.savez(folder / "data.npz", **{name: s.arrays["x"] for name, s in splits.items()})
        self.folder = folder
        run = a_run(folder / "work")
        self.case: Case = steps.load(
            run, str(folder / "teacher.onnx"), None, str(folder / "data.npz"), None
        )
        device = a_device(folder / "state")
        part = self.recipe().quant.model_copy(update={"enabled": False})
        self.base: Candidate = steps.deploy(run, self.case, device, self.case.net, part)[0]

    def recipe(self, quantised: int = 8) -> Recipe:
        distill = {"steps": 8, "batch_size": 16, "views": 2}
        quant = {"method": "quantised-distillation", "steps": quantised}
        return a_recipe(distill=distill, quant=quant)

    def run(self, seconds: float, *, late: bool = False) -> Run:
        """One whose clock began now, or has run out."""
        run = a_run(self.folder / "work")
        run.budget = Budget(seconds, began=-1e9) if late else Budget(seconds)
        return run


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return Problem(tmp_path_factory.mktemp("problem"))


def pruned(problem: Problem, run: Run, wanted: int) -> int | None:
    return recovery_steps(
        run,
        problem.case,
        problem.recipe(),
        Missed(),
        problem.base,
        "prune",
        wanted,
        "prune.steps",
        ahead=Ahead(maybe=wanted),
        times=2,
    )


def shrunk(problem: Problem, run: Run, wanted: int) -> int | None:
    return recovery_steps(
        run,
        problem.case,
        problem.recipe(),
        Missed(),
        problem.case.net,
        "distill-shrunk",
        wanted,
        "shrink.steps",
        ahead=Ahead(sure=wanted),
    )


def rung(problem: Problem, run: Run, wanted: int) -> int | None:
    recipe = problem.recipe(wanted)
    part = rung_part(run, problem.case, recipe, problem.base, "w4", {}, 2, "uint8")
    return None if part is None else part.steps


KINDS = {"prune": (pruned, 2), "distill-shrunk": (shrunk, 1), "w4": (rung, 2)}


def planned(run: Run) -> Plan:
    (told,) = plans(run.log)
    return Plan.from_json(told)


def a_minutes_worth(problem: Problem, kind: str) -> int:
    """So many steps as take about a minute, of the whole of it."""
    run = problem.run(600.0)
    KINDS[kind][0](problem, run, 100)
    return int(60 / planned(run).pace.step_s)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_fits_into_the_time_with_what_follows(problem: Problem, kind: str) -> None:
    plan_of, times = KINDS[kind]
    wanted = a_minutes_worth(problem, kind)
    run = problem.run(AFTER_S + 60)
    assert plan_of(problem, run, wanted) == planned(run).steps
    made = planned(run)
    assert (made.training, made.wanted) == (kind, wanted)
    assert 0 < made.steps < wanted
    assert made.left.after_s >= AFTER_S
    assert times * made.seconds + made.kept_s <= USED * made.left.seconds + 1e-6
    assert (made.kept_s > 0) == (kind != "w4")  # the last training keeps nothing


@pytest.mark.parametrize("kind", KINDS)
def test_more_time_gives_no_fewer_steps(problem: Problem, kind: str) -> None:
    plan_of, times = KINDS[kind]
    wanted = a_minutes_worth(problem, kind)
    got = [plan_of(problem, problem.run(AFTER_S + s), wanted) for s in (60 * times, 6000)]
    assert got[0] is not None
    assert got[0] <= wanted
    assert got[1] == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_has_the_plan_that_was_made(problem: Problem, kind: str) -> None:
    plan_of, _ = KINDS[kind]
    first, late = problem.run(700.0), problem.run(700.0, late=True)
    assert plan_of(problem, first, 50) == plan_of(problem, late, 50) == 50
    assert planned(first) == planned(late)
    assert late.log[-1]["status"] == "reused"


def test_without_time_a_rung_is_left_away_and_the_only_student_is_an_error(
    problem: Problem,
) -> None:
    run = problem.run(1.0)
    assert rung(problem, run, 50) is None
    assert "too short for 'w4'" in run.log[-1]["summary"]
    with pytest.raises(ConfigError, match="too short for 'distill-shrunk'"):
        shrunk(problem, problem.run(1.0), 50)


def test_one_of_several_networks_has_a_share_and_none_is_an_error(problem: Problem) -> None:
    def beside(run: Run) -> int | None:
        return recovery_steps(
            run,
            problem.case,
            problem.recipe(),
            Missed(),
            problem.case.net,
            "distill-puzzle",
            50,
            "shrink.steps",
            ahead=Ahead(),
            among=2,
            first=False,
        )

    run = problem.run(1000.0)
    assert beside(run) == 50
    assert 450 < planned(run).left.seconds < 500
    short = problem.run(1.0)
    assert beside(short) is None
    assert "no time" in short.log[-1]["summary"]
