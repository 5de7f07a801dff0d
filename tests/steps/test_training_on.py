"""A student beyond the goal, with time left: trained on, then a larger one, and the best of them goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import steps
from squeeze.budget import Budget
from squeeze.run import Run
from squeeze.search import SearchResult
from squeeze.spec import ArchSpec
from squeeze.steps.float_student import FloatStudent, distilled, exported
from squeeze.steps.searched_on import larger_than, searched_inside
from tests.steps.conftest import a_device, a_recipe, a_run
from tests.train import samples

SHAPE = samples.SHAPES["vector"]
NARROW = samples.arch(SHAPE, family="mlp")
WIDE = ArchSpec(family="mlp", params={**NARROW.params, "widths": (48,)})


def found(*rows: tuple[ArchSpec, int, float | None], demanded: bool = False) -> SearchResult:
    """A search that picked the first: (architecture, MACs, measured share of the teacher's latency)."""
    candidates = [
        {"family": a.family, "params": a.params, "macs": macs, "measured_ratio": ratio}
        for a, macs, ratio in rows
    ]
    bounds = {"latency_ratio": 0.5, "demanded": float(demanded)}
    return SearchResult(rows[0][0], "", candidates, len(rows), {}, bounds)


def width(n: int) -> ArchSpec:
    return ArchSpec(family="mlp", params={"width": n})


def test_the_next_larger_candidate_is_inside_what_the_goal_demands() -> None:
    rows = (
        (width(8), 100, 0.1),
        (width(4), 50, 0.1),
        (width(32), 400, None),
        (width(16), 200, 0.9),
    )
    assert larger_than(width(8), found(*rows)) == width(16)
    # Of what is demanded only what was measured to hold it.
    assert larger_than(width(8), found(*rows, demanded=True)) is None
    more = (*rows, (width(64), 900, 0.4))
    assert larger_than(width(8), found(*more, demanded=True)) == width(64)
    assert larger_than(width(64), found(*more)) is None


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("problem")
    samples.linear_teacher(folder, SHAPE, gain=6.0)
    data = samples.calib("vector")
    # Without labels: the teacher's own answers are what is lost.
    np.savez(folder / "data.npz", x_train=data.fit.arrays["x"], x_test=data.evaluate.arrays["x"])
    return folder / "teacher.onnx", folder / "data.npz"


def brought(run: Run, problem: tuple[Path, Path], folder: Path) -> FloatStudent:
    model, data = problem
    case = steps.load(run, str(model), None, str(data), None)
    # At such a rate nothing is gained, and what a minute brings cannot be enough.
    recipe = a_recipe(
        goal={"max_drop": 0.0},
        distill={"steps": 4, "batch_size": 16, "views": 2, "lr": 1e-9, "checkpoint_s": 0},
    )
    device = a_device(folder / "state")
    trained = distilled(run, case, recipe.distill, NARROW)
    first = exported(run, case, device, NARROW, trained, 4)
    result = found((NARROW, 100, 0.1), (WIDE, 300, 0.2))
    return searched_inside(run, case, device, recipe, result, first)


def test_what_gains_nothing_gives_way_to_a_larger_one_and_a_resumed_run_decides_alike(
    problem: tuple[Path, Path], tmp_path: Path
) -> None:
    run = a_run(tmp_path / "work")
    run.budget = Budget(600.0)
    best = brought(run, problem, tmp_path)
    names = [step["name"] for step in run.log if step["name"] != "labels"]
    after = names[names.index("lose") :]
    assert after == [
        *("lose", "plan", "train-on", "export", "lose", "train-on"),
        *("plan", "distill-larger", "export", "lose"),
    ]
    drops = [float(step["summary"].split()[0]) for step in run.log if step["name"] == "lose"]
    assert best.arch == (WIDE if drops[-1] < min(drops[:-1]) else NARROW)
    # Without any time left the plans that are on disk hold.
    late = a_run(tmp_path / "work")
    late.budget = Budget(600.0, began=-1e9)
    again = brought(late, problem, tmp_path)
    assert again.exported.digest == best.exported.digest
    assert {s["status"] for s in late.log if s["name"] in ("plan", "train-on", "lose")} <= {
        "reused",
        "done",  # what is told
    }


def test_without_a_time_nothing_is_trained_on(problem: tuple[Path, Path], tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    brought(run, problem, tmp_path)
    assert run.log[-1]["name"] == "export"
