"""What `--time` does on a real small problem: a plan on disk by which a training goes, also when it is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from squeeze.budget import Ahead, Budget, Left, Pace, Plan, plan
from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.front import Front
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.progress import Progress
from squeeze.run import At, Run
from squeeze.spec import ArchSpec, Recipe
from squeeze.steps import planning, planning_students
from squeeze.steps.float_student import distilled
from squeeze.workdir import digest_file
from tests.steps.conftest import a_recipe, a_run
from tests.train import samples

WANTED = 40


class Missed(Front):
    """A front where nothing is inside the goal, or all of it."""

    def __init__(self, *, met: bool = False) -> None:
        self._all = met

    def met(self) -> bool:
        return self._all


@pytest.fixture
def case(tmp_path: Path) -> Case:
    teacher = samples.linear_teacher(tmp_path / "teacher", samples.SHAPES["vector"])
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    return Case(teacher, net, samples.calib("vector"), (Reading("logits", "top1"),), tmp_path)


def arch() -> ArchSpec:
    return samples.arch(samples.SHAPES["vector"], family="mlp")


def recipe(**parts: dict[str, object]) -> Recipe:
    distill = {"steps": WANTED, "batch_size": 16, "views": 2, "lr": 0.05, "checkpoint_s": 0}
    return a_recipe(distill=distill, **parts)


def limited(folder: Path, seconds: float) -> Run:
    run = a_run(folder)
    run.budget = Budget(seconds)
    return run


def recorded(folder: Path) -> list[Plan]:
    found = sorted((folder / "steps").glob("plan-*/step.json"))
    return [Plan.from_json(json.loads(p.read_text())["result"]["plan"]) for p in found]


def test_without_a_time_nothing_is_planned(case: Case, tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    assert planning_students.student_part(run, case, recipe(), arch(), Missed()) == recipe().distill
    assert not run.log


def test_a_plan_is_on_disk_said_and_found_again_whatever_the_clock_says(
    case: Case, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    first = limited(work, 60.0)
    part = planning_students.student_part(first, case, recipe(), arch(), Missed())
    assert part is not None
    (made,) = recorded(work)
    assert (made.training, made.key, made.wanted) == ("distill", "distill.steps", WANTED)
    assert part.steps == made.steps == WANTED
    assert 0 < made.left.seconds < 60
    assert planning.plans(first.log) == [made.to_json()]
    # A resumed run has another clock, here one that has run out, and the same plan.
    again = limited(work, 60.0)
    again.budget = Budget(60.0, began=-1e9)
    assert planning_students.student_part(again, case, recipe(), arch(), Missed()) == part
    assert len(recorded(work)) == 1


class Stopping(Progress):
    """Ctrl-C after some steps of a training."""

    def update(self, done: int, total: int, note: str = "") -> None:
        if (done, total) == (WANTED // 2, WANTED):
            raise KeyboardInterrupt


def test_a_planned_training_goes_on_to_the_bytes_of_one_whose_steps_were_given(
    case: Case, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    run = limited(work, 60.0)
    run.progress = Stopping()
    part = planning_students.student_part(run, case, recipe(), arch(), Missed())
    assert part is not None
    with pytest.raises(KeyboardInterrupt):
        distilled(run, case, part, arch())
    assert list((work / "partial").glob("distill-*/checkpoint_*.json"))
    late = limited(work, 60.0)
    late.budget = Budget(60.0, began=-1e9)
    part = planning_students.student_part(late, case, recipe(), arch(), Missed())
    assert part is not None
    resumed = distilled(late, case, part, arch())
    plain = distilled(a_run(tmp_path / "plain"), case, recipe().distill, arch())
    one, other = ((s.path / "weights.safetensors").read_bytes() for s in (resumed, plain))
    assert one == other


def test_training_on_begins_with_what_was_learned(case: Case, tmp_path: Path) -> None:
    run = limited(tmp_path / "work", 60.0)
    first = distilled(run, case, recipe().distill, arch())
    still = recipe().distill.model_copy(update={"lr": 1e-9, "warmup": 0.0, "weight_decay": 0.0})
    made = planning_students.student_plan(
        run, case, recipe(), arch(), still, "train-on", before=first
    )
    assert made.steps == WANTED
    again = distilled(run, case, still, arch(), "train-on", first)
    before, after = (load_file(s.path / "weights.safetensors") for s in (first, again))
    for name, value in before.items():
        if "running" not in name and "tracked" not in name:
            np.testing.assert_allclose(after[name], value, atol=1e-5)


def test_too_short_a_time_says_what_was_asked_and_the_least(case: Case, tmp_path: Path) -> None:
    run = limited(tmp_path / "work", 5.0)
    with pytest.raises(
        ConfigError,
        match=r"^--time 0:05 is too short for 'distill': the least is .*m, for 4 of its 40 steps",
    ):
        planning_students.student_part(run, case, recipe(), arch(), Missed())


def test_a_student_without_time_is_left_away_where_the_goal_is_met(
    case: Case, tmp_path: Path
) -> None:
    run = limited(tmp_path / "work", 5.0)
    assert planning_students.student_part(run, case, recipe(), arch(), Missed(met=True)) is None
    assert run.log[-1]["status"] == "skipped"
    assert "without it the goal is met" in run.log[-1]["summary"]
    (said,) = planning.cuts(run.log)
    assert said == "--time 0:05: 'distill' got 0 of 40 steps (distill.steps)"


def test_most_trainings_at_quantised_weights() -> None:
    trains = {"method": "quantised-distillation"}
    for quant, goal, most in (
        ({"method": "post-training"}, {}, 0),
        (trains, {}, 1),
        ({**trains, "bits": 4}, {}, 2),
        (trains, {"objective": "smallest"}, 6),
        (trains, {"objective": "smallest", "max_bytes": 1000}, 1),
    ):
        assert planning.trainings(a_recipe(quant=quant, goal=goal)) == most


def test_what_follows_a_student_is_all_that_the_recipe_still_trains() -> None:
    few = {"method": "quantised-distillation", "bits": 4, "steps": 10}
    asked = a_recipe(
        prune={"ratio": 0.3, "rounds": 2, "steps": 100},
        adaptive={"compute": 0.5, "module_steps": 1, "gate_steps": 2, "steps": 4},
        quant=few,
    )
    # Two rungs of 10 steps at quantised weights, each like 5 in float.
    assert planning.after_float(asked) == Ahead(sure=100)
    assert planning.after_pruning(asked) == Ahead(sure=7 + 100, networks=1)
    assert planning.after_student(asked) == Ahead(sure=200 + 7 + 100, networks=2)
    # int8 may be inside the goal without.
    int8 = a_recipe(quant={**few, "bits": 8})
    assert planning.after_student(int8) == Ahead(maybe=50)


def test_what_follows_takes_as_long_for_each_network_as_for_the_first(tmp_path: Path) -> None:
    asked = []
    for ahead in (Ahead(), Ahead(networks=2)):
        run = limited(tmp_path / str(ahead.networks), 600.0)
        run.repeated_s = 30.0
        planning.planned(run, a_plan, "x", ahead=ahead)
        asked.append(recorded(tmp_path / str(ahead.networks))[0].left.after_s)
    # This one and the end; and two more.
    assert asked == [60.0, 120.0]


def a_plan(at: At, *, left: Left, training: str, **_: object) -> dict[str, object]:
    return planning.recorded(plan(training, "x.steps", 10, Pace(0.1), left))


def test_what_is_left_after_a_training() -> None:
    made = plan("distill", "distill.steps", 100, Pace(0.1), Left(300.0, 100.0))
    # 95 % of 100 s less 100 steps of 0.1 s.
    assert made.spare_s == pytest.approx(85.0)
