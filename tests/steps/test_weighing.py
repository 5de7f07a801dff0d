"""Who puts a number in the place of distill.label_weight = 'auto', and fewer samples in that of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze import steps
from squeeze.case import Case
from squeeze.guides.panel import Panel
from squeeze.spec import Recipe
from tests.steps.conftest import a_recipe, a_run
from tests.steps.test_teaching import TRAINS, a_case


def recipe(**distill: Any) -> Recipe:
    return a_recipe(search=TRAINS, distill={"label_weight": "auto", **distill})


def knowing(case: Case, *, right: float) -> Case:
    """The case with labels that are the teacher's first choices but for some, which are any."""
    random = np.random.default_rng(0)
    splits = {}
    for name in ("fit", "calibrate"):
        split = getattr(case.data, name)
        x = case.data.inputs(split)
        chosen = case.teacher.outputs(x).logits.argmax(1)
        any_one = random.integers(0, 3, len(chosen))
        splits[name] = replace(
            split,
            y=np.where(random.random(len(chosen)) < right, chosen, any_one),
            digest=f"{split.digest}-{right}",
        )
    return replace(case, data=replace(case.data, **splits, digest=f"{case.data.digest}-{right}"))


def test_labels_count_less_the_more_of_them_are_wrong(tmp_path: Path) -> None:
    case, weights = a_case(tmp_path), []
    run = a_run(tmp_path / "work")
    for right in (0.4, 1.0):
        found = steps.weighed(run, knowing(case, right=right), recipe())
        weight = found.distill.label_weight
        assert isinstance(weight, float)
        assert run.log[-1]["summary"].startswith(f"labels count {weight:.2f} beside answers, by 60")
        weights.append(weight)
        # All else stays as it was.
        assert found.distill.model_copy(update={"label_weight": "auto"}) == recipe().distill
    assert weights[0] < weights[1]


def test_of_a_panel_it_is_the_weight_beside_all_of_them(tmp_path: Path) -> None:
    run, case = a_run(tmp_path / "work"), a_case(tmp_path)
    steps.weighed(run, case, recipe())
    run.panel = Panel((case.teacher,), (1.0,))
    steps.weighed(run, case, recipe())
    assert [step["status"] for step in run.log] == ["done", "done"]  # not found as the same
    # Twice the same teacher is the teacher.
    assert run.log[0]["summary"] == run.log[1]["summary"]


def test_where_samples_are_left_out_the_rule_holds_and_a_number_stays(tmp_path: Path) -> None:
    run, case = a_run(tmp_path / "work"), a_case(tmp_path)
    assert steps.weighed(run, case, recipe(keep=0.25)).distill.label_weight == pytest.approx(0.15)
    assert run.log[-1]["summary"] == "labels count 0.15, for 25% of the samples"
    given = recipe(label_weight=0.3)
    assert steps.weighed(run, case, given) is given
    nothing = a_recipe(distill={"label_weight": "auto"})
    assert steps.weighed(run, case, nothing) is nothing
    assert len(run.log) == 1


def test_samples_that_are_chosen_once_are_the_only_ones(tmp_path: Path) -> None:
    run, case = a_run(tmp_path / "work"), a_case(tmp_path)
    part = recipe(keep=0.25, keep_chosen="once").distill
    found = steps.fewer(run, case, part)
    assert len(found.data.fit) == 50
    assert run.log[-1]["summary"] == "50 of 200 samples are trained with"
    given, kept = case.data.fit, found.data.fit
    assert given.y is not None
    assert kept.y is not None
    rows = [int(np.flatnonzero((given.x == x).all(1))[0]) for x in np.asarray(kept.x)]
    assert len(set(rows)) == 50
    np.testing.assert_array_equal(kept.y, given.y[rows])
    assert kept.digest != given.digest
    assert found.data.digest != case.data.digest
    assert found.data.calibrate is case.data.calibrate
    same = steps.fewer(run, case, part)
    np.testing.assert_array_equal(same.data.fit.x, kept.x)
    run.seed = 1
    other = steps.fewer(run, case, part)
    assert other.data.fit.digest != kept.digest
    assert (np.asarray(other.data.fit.x) != np.asarray(kept.x)).any()
    assert steps.fewer(run, case, recipe(keep=0.25).distill) is case
    assert steps.fewer(run, case, recipe().distill) is case
