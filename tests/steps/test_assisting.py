"""A chain of assistants on a real small problem: who learns from whom, and what a given time leaves of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from squeeze import students
from squeeze.budget import Budget
from squeeze.case import Case
from squeeze.guides.panel import Panel
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.search import gap
from squeeze.spec import Recipe
from squeeze.steps.assisting import assisted
from squeeze.steps.float_student import distilled
from squeeze.workdir import digest_file
from tests.steps.conftest import a_recipe, a_run
from tests.train import samples

SHAPE = samples.SHAPES["vector"]
ARCH = samples.arch(SHAPE, family="mlp")
STEPS = 20


@pytest.fixture
def case(tmp_path: Path) -> Case:
    teacher = samples.linear_teacher(tmp_path / "teacher", SHAPE)
    # As if it were large: the sizes between follow from what it says of itself.
    large = 30 * students.cost(ARCH).params
    teacher = replace(teacher, params=large, macs=large)
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    return Case(teacher, net, samples.calib("vector"), (Reading("logits", "top1"),), tmp_path)


def recipe(assistants: int | str) -> Recipe:
    distill = {"steps": STEPS, "batch_size": 16, "views": 2, "lr": 0.05, "checkpoint_s": 0}
    return a_recipe(distill={**distill, "assistants": assistants})


def names(run: Run) -> list[str]:
    return [step["name"] for step in run.log if step["status"] != "skipped"]


def test_without_assistants_the_teacher_teaches(case: Case, tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    assert assisted(run, case, recipe(0), ARCH) == (run, case)
    assert not run.log


def test_each_learns_from_the_one_before_it_and_the_last_one_teaches(
    case: Case, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "work")
    run.panel = Panel((case.teacher,), (0.5,))
    alone, taught = assisted(run, case, recipe(2), ARCH)
    assert names(run) == 2 * ["labels", "distill-assistant", "assistant"]
    first, second = (step["summary"] for step in run.log if step["name"] == "labels")
    assert first.startswith("2 teachers saw")
    assert second.startswith("the teacher saw")
    assert alone.panel is None
    assert run.panel is not None
    own = students.cost(ARCH).params
    assert own < taught.teacher.params < 10 * own
    # It says what the smaller of the two networks says in torch.
    module = students.build(gap.assistants(case.teacher, ARCH, 2)[1])
    made = [
        load_file(f) for f in (tmp_path / "work/steps").glob("distill-assistant-*/*.safetensors")
    ]
    module.load_state_dict(min(made, key=lambda state: sum(map(torch.numel, state.values()))))
    x = case.data.inputs(case.data.calibrate)
    with torch.no_grad():
        said = module.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(taught.teacher.outputs(x).logits, said, atol=1e-4)


class Stopping(Progress):
    """Ctrl-C in the middle of the second training."""

    def __init__(self) -> None:
        self.trained = 0

    def begin(self, name: str) -> None:
        self.trained += name == "distill-assistant"

    def update(self, done: int, total: int, note: str = "") -> None:
        if (self.trained, done, total) == (2, STEPS // 2, STEPS):
            raise KeyboardInterrupt


def test_a_killed_chain_goes_on_to_the_same_bytes(case: Case, tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    run.progress = Stopping()
    with pytest.raises(KeyboardInterrupt):
        assisted(run, case, recipe(2), ARCH)
    weights = []
    for work in ("work", "other"):
        late = a_run(tmp_path / work)
        trained = distilled(*assisted(late, case, recipe(2), ARCH), recipe(2).distill, ARCH)
        weights.append((trained.path / "weights.safetensors").read_bytes())
        first = next(step for step in late.log if step["name"] == "distill-assistant")
        assert first["status"] == ("reused" if work == "work" else "done")
    assert weights[0] == weights[1]


def test_as_many_as_the_gap_asks_for_and_the_family_has(case: Case, tmp_path: Path) -> None:
    own = students.cost(ARCH).params
    for ratio, between in ((4, 0), (6, 1)):  # not wide; above 2.5 and below 2.5 ** 2
        run = a_run(tmp_path / "work")
        near = replace(case, teacher=replace(case.teacher, params=ratio * own, macs=ratio * own))
        assisted(run, near, recipe("auto"), ARCH)
        assert names(run).count("distill-assistant") == between
    # An MLP ends at 1,024 channels.
    wide = ARCH.model_copy(update={"params": {**ARCH.params, "widths": (768,)}})
    run = a_run(tmp_path / "work")
    assisted(run, replace(case, teacher=replace(case.teacher, params=10**9)), recipe(8), wide)
    assert run.log[0]["summary"] == "mlp has 1 of 8 sizes between the two"
    assert names(run).count("distill-assistant") == 1


def test_a_given_time_is_shared_with_what_follows(case: Case, tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    run.budget = Budget(600.0)
    assisted(run, case, recipe(2), ARCH)
    assert names(run) == [
        *("labels", "plan", "labels", "distill-assistant", "assistant"),
        *("labels", "plan", "labels", "distill-assistant", "assistant"),
    ]
    kept = [n["numbers"]["kept_s"] for s in run.log if s["name"] == "plan" for n in s["tried"]]
    # For two trainings after the first one, for one after the second.
    assert all(seconds > 0 for seconds in kept)
    late = a_run(tmp_path / "late")
    late.budget = Budget(600.0, began=-1e9)
    assert assisted(late, case, recipe(1), ARCH)[1] is case
    assert "no time" in late.log[-1]["summary"]
