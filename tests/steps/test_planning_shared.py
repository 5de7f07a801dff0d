"""Plans of one network that students are parts of, of its parts alone, and of stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from squeeze import steps
from squeeze.budget import Ahead, Budget
from squeeze.errors import ConfigError
from squeeze.seal import WEIGHTS
from squeeze.spec import STAGES, Recipe, SupernetPart
from squeeze.steps.inheriting import inheriting_student
from squeeze.steps.planning import plans
from squeeze.steps.sharing import inherited_from, part_alone
from squeeze.steps.staging import trained_in_stages
from squeeze.students.encoder import Params
from tests.steps.conftest import a_device, a_run
from tests.steps.test_inheriting import made
from tests.steps.test_planning import Missed

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.net import FloatNet
    from squeeze.run import Run

STEPS, FURTHER = 4, 3


def recipe(**keys: Any) -> Recipe:
    supernet = {"space": "tiny", "steps": STEPS, "further": FURTHER, "batch_size": 8}
    return Recipe.model_validate({"schema": 1, "name": "r", "supernet": supernet, **keys})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return made(tmp_path_factory.mktemp("files"))


def opened(
    files: tuple[str, str], folder: Path, seconds: float, *, late: bool = False
) -> tuple[Run, Case]:
    run = a_run(folder / "work")
    run.budget = Budget(seconds, began=-1e9) if late else Budget(seconds)
    return run, steps.load(run, files[0], None, files[1], None)


def student(run: Run, case: Case, folder: Path, front: Missed) -> FloatNet | None:
    return inheriting_student(run, case, a_device(folder / "state"), recipe(), front)


def told(run: Run) -> dict[str, dict[str, Any]]:
    return {plan["training"]: plan for plan in plans(run.log)}


def test_the_network_and_its_part_share_the_time_and_a_resumed_run_goes_by_their_plans(
    files: tuple[str, str], tmp_path: Path
) -> None:
    run, case = opened(files, tmp_path, 600.0)
    net = student(run, case, tmp_path, Missed())
    assert net is not None
    found = told(run)
    assert {name: plan["steps"] for name, plan in found.items()} == {
        "supernet": STEPS,
        "distill": FURTHER,
    }
    # For the part alone, and for asking all parts what they lose.
    assert found["supernet"]["kept_s"] > 0
    late, case = opened(files, tmp_path, 600.0, late=True)
    again = student(late, case, tmp_path, Missed())
    assert again is not None
    assert again.digest == net.digest
    assert told(late) == found
    assert {e["status"] for e in late.log if e["name"] in ("plan", "supernet", "distill")} == {
        "reused"
    }


def test_without_time_there_is_no_network(files: tuple[str, str], tmp_path: Path) -> None:
    run, case = opened(files, tmp_path, 1.0)
    with pytest.raises(ConfigError, match=r"too short for 'supernet'.*of its 4 steps"):
        student(run, case, tmp_path, Missed())
    run, case = opened(files, tmp_path, 1.0)
    assert student(run, case, tmp_path, Missed(met=True)) is None
    assert "without it the goal is met" in run.log[-1]["summary"]


def test_a_part_that_there_is_no_time_for_stays_as_it_learned_with_the_others(
    files: tuple[str, str], tmp_path: Path
) -> None:
    run, case = opened(files, tmp_path, 1.0)
    inherited = inherited_from(run, case)
    child = Params.model_validate(inherited.result["params"])
    part = SupernetPart(further=FURTHER, batch_size=8)
    got = part_alone(run, case, inherited, inherited, child, part, Ahead())
    assert got == part.model_copy(update={"further": 0})
    assert "distill: no time" in run.log[-1]["summary"]


@pytest.mark.parametrize(("seconds", "done"), [(600.0, ["tad", "tsd"]), (1.0, [])])
def test_each_stage_is_planned_and_one_without_time_is_left_away(
    seconds: float, done: list[str], files: tuple[str, str], tmp_path: Path
) -> None:
    names = ("tad", "tsd")
    stages = [
        dict(zip(("data", "teacher", "loss"), STAGES[name], strict=True), steps=2) for name in names
    ]
    weights = []
    for late in (False, True):
        run, case = opened(files, tmp_path, seconds, late=late)
        inherited = inherited_from(run, case)
        params = Params.model_validate(inherited.result["params"])
        child = params.model_copy(update={"layers": 1, "hidden": 16})
        wanted = recipe(stages=stages)
        alone = trained_in_stages(run, case, wanted, inherited, inherited, child)
        assert [
            e["name"] for e in run.log if e["name"] in names and e["status"] != "skipped"
        ] == done
        assert alone.steps == 2 * len(done)
        assert [*told(run)] == list(names)
        weights.append((alone.trained.path / WEIGHTS).read_bytes())
    assert weights[0] == weights[1]
