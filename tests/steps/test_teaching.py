"""What of [distill] is refused before anything is searched: in one line, with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.steps.teaching import refuse_unteachable
from squeeze.workdir import digest_file
from tests.steps.conftest import a_recipe, a_run
from tests.train import samples

TRAINS = {"evaluations": 10}


def a_case(folder: Path, modality: str = "vector", **data: Any) -> Case:
    teacher = samples.linear_teacher(folder, samples.SHAPES[modality])
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    return Case(teacher, net, samples.calib(modality, **data), (Reading("logits", "top1"),), folder)


@pytest.mark.parametrize(
    ("search", "distill", "said"),
    [
        ({"evaluations": 0}, {"assistants": 1}, "assistants: .* searches none .*; set it to 0"),
        ({"start": "inherit"}, {"assistants": "auto"}, "assistants: .* the teacher made smaller"),
        (
            {},
            {"loss": {"kd": {}, "mse": {}}},
            "loss: its terms .*: 'kd' classes, 'mse' values; take those of one kind",
        ),
        ({}, {"loss": {"kd": {"temperature": -1.0}}}, "loss: 'kd': .*"),
        (
            {},
            {"loss": "pixel_kd"},
            r"loss: needs .* \[n, c, \.\.\.places\], .* \[n, 3\]; use 'auto'",
        ),
        ({}, {"codec": "renorm-3"}, "codec: 'renorm-3' keeps 3 of 3 classes"),
        ({}, {"crops": 3}, "crops: got 3, and a batch of 128 .*; take a number that divides it"),
        ({}, {"crops": 8}, "crops: got 8 views .*, and it has 4; take more distill.views"),
        ({}, {"crops": 2, "augment": "none"}, "crops: got 2 views .*, and it has 1"),
        (
            {},
            {"drop_unsure": 0.1, "codec": "hard"},
            "drop_unsure: goes by how sure .* another codec",
        ),
        (
            {},
            {"drop_unsure": 0.5, "thin_sure": 0.6},
            "drop_unsure, distill.thin_sure: are 1.1 of all views together; take 1 at most",
        ),
    ],
)
def test_what_cannot_be_taught_is_refused(
    search: dict[str, Any], distill: dict[str, Any], said: str, tmp_path: Path
) -> None:
    recipe = a_recipe(search={**TRAINS, **search}, distill=distill)
    with pytest.raises(ConfigError, match=rf"^distill\.{said}") as e:
        refuse_unteachable(a_run(tmp_path / "work"), a_case(tmp_path), recipe)
    assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("distill", "said"),
    [
        ({"label_weight": "auto"}, "label_weight: 'auto' needs labels, .*; give a number"),
        (
            {"thin_sure": 0.1},
            "thin_sure: is for classes, and these outputs are values; set it to 0",
        ),
    ],
)
def test_what_needs_labels_or_classes_says_so(
    distill: dict[str, Any], said: str, tmp_path: Path
) -> None:
    case = a_case(tmp_path, classes=None, metric="mse")
    with pytest.raises(ConfigError, match=rf"^distill\.{said}"):
        refuse_unteachable(a_run(tmp_path / "work"), case, a_recipe(search=TRAINS, distill=distill))


def test_labels_of_other_classes_than_the_model_has_are_refused(tmp_path: Path) -> None:
    case = a_case(tmp_path)
    case = replace(case, data=replace(case.data, classes=2))
    for distill in ({"label_weight": "auto"}, {"label_unsure": 0.1}):
        with pytest.raises(ConfigError, match=r"labels of the 3 classes of the model, .* are of 2"):
            refuse_unteachable(
                a_run(tmp_path / "work"), case, a_recipe(search=TRAINS, distill=distill)
            )


def test_views_are_not_taught_by_labels_that_extra_samples_do_not_have(tmp_path: Path) -> None:
    case = a_case(tmp_path)
    fit = replace(case.data.fit, y=None, extra=10)
    case = replace(case, data=replace(case.data, fit=fit))
    with pytest.raises(
        ConfigError, match=r"label_unsure: needs labels, .* \(samples of --extra have"
    ):
        refuse_unteachable(
            a_run(tmp_path / "work"),
            case,
            a_recipe(search=TRAINS, distill={"label_unsure": 0.1}),
        )


def test_what_can_be_taught_is_not_refused_and_the_room_for_answers_is_told(tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    shares = {"drop_unsure": 0.1, "label_unsure": 0.2, "thin_sure": 0.2}
    distill = {"assistants": 2, "crops": 2, "label_weight": "auto", **shares}
    refuse_unteachable(run, a_case(tmp_path), a_recipe(search=TRAINS, distill=distill))
    assert not run.log
    few = a_recipe(search=TRAINS, distill={**distill, "codec": "renorm-2"})
    refuse_unteachable(run, a_case(tmp_path), few)
    # 4 views of 200 samples, two classes of two bytes and their probabilities of as many.
    assert run.log[-1]["summary"].startswith(
        "answers to 4 views of 200 samples take 0.0 MB as 'renorm-2' (8 bytes each)"
    )
    # What nothing is trained with is not looked at.
    refuse_unteachable(run, a_case(tmp_path), a_recipe(distill={"crops": 3}))
