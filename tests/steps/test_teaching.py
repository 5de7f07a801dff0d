"""What of [distill] is refused before anything is searched: in one line, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from squeeze import steps
from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.metrics import Reading
from squeeze.net import FloatNet
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
        ({}, {"codec": "renorm-3"}, "codec: 'renorm-3' keeps 3 of 3 classes"),
    ],
)
def test_what_cannot_be_taught_is_refused(
    search: dict[str, Any], distill: dict[str, Any], said: str, tmp_path: Path
) -> None:
    recipe = a_recipe(search={**TRAINS, **search}, distill=distill)
    with pytest.raises(ConfigError, match=rf"^distill\.{said}") as e:
        steps.refuse_unteachable(a_run(tmp_path / "work"), a_case(tmp_path), recipe)
    assert len(str(e.value).splitlines()) == 1


def test_what_can_be_taught_is_not_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "work")
    distill = {"assistants": 2, "codec": "renorm-2"}
    steps.refuse_unteachable(run, a_case(tmp_path), a_recipe(search=TRAINS, distill=distill))
    assert not run.log
