"""Which students look at parts of images before they are distilled, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from squeeze import steps, students
from squeeze.budget import Budget
from squeeze.errors import UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.graph import save
from squeeze.seal import WEIGHTS
from squeeze.spec import ArchSpec, Recipe
from squeeze.steps.float_student import distilled
from squeeze.steps.masking import masked_student, refuse_unmasked
from squeeze.steps.planning import plans
from tests.steps.conftest import a_run
from tests.students.test_encoder import random_encoder
from tests.students.test_encoder_images import PARAMS, images
from tests.teacher.models import Image, make
from tests.train.masked.test_network import arch

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from squeeze.case import Case
    from squeeze.run import Run


def recipe(**keys: Any) -> Recipe:
    masked = {"steps": 2, "batch_size": 8, **keys.pop("masked", {})}
    distill = {"steps": 1, "batch_size": 8, "ema": 0.0}
    search = {"families": ["vit"], **keys.pop("search", {})}
    return Recipe.model_validate(
        {"schema": 1, "name": "r", "masked": masked, "distill": distill, "search": search, **keys}
    )


def opened(folder: Path, kind: str = "transformer") -> tuple[Run, Case]:
    module: nn.Module = random_encoder(PARAMS) if kind == "transformer" else make(Image)
    save(feed_to_ir(module, {"x": images().numpy()}, output_names=["y"]), folder / "net.onnx")
    np.savez(folder / "images.npz", x=images(160).numpy())
    run = a_run(folder / "work")
    return run, steps.load(run, str(folder / "net.onnx"), None, str(folder / "images.npz"), None)


def test_distillation_goes_on_from_the_weights_of_masked_steps(tmp_path: Path) -> None:
    run, case = opened(tmp_path)
    made = masked_student(run, case, recipe(), arch())
    assert made is not None
    assert "of 6 places seen" in made.result["summary"]
    begun = load_file(made.path / WEIGHTS)
    # A rate at which one step changes next to nothing.
    part = recipe().distill.model_copy(update={"lr": 1e-6})
    after = load_file(distilled(run, case, part, arch(), before=made).path / WEIGHTS)
    fresh = students.build(arch(), seed=run.seed).state_dict()
    for name in ("trunk.2.query.weight", "trunk.1.position"):
        torch.testing.assert_close(after[name], begun[name], rtol=0, atol=1e-5)
        assert (begun[name] - fresh[name]).abs().max() > 1e-4
    torch.testing.assert_close(
        after["classifier.weight"], fresh["classifier.weight"], rtol=0, atol=1e-5
    )


def test_steps_of_another_recipe_are_others(tmp_path: Path) -> None:
    run, case = opened(tmp_path)
    keys = []
    longer = recipe().model_copy(
        update={"distill": recipe().distill.model_copy(update={"steps": 9})}
    )
    for wanted in (recipe(), longer, recipe(masked={"share": 0.5})):
        made = masked_student(run, case, wanted, arch())
        assert made is not None
        keys.append(made.key())
    assert keys[0] == keys[1] != keys[2]
    assert run.log[-2]["status"] == "reused"


def test_what_has_no_part_in_it_begins_at_random_and_says_why(tmp_path: Path) -> None:
    run, case = opened(tmp_path)
    assert masked_student(run, case, recipe(masked={"steps": 0}), arch()) is None
    assert run.log[-1]["name"] != "masked"
    resnet = ArchSpec(family="resnet", params={})
    assert masked_student(run, case, recipe(), resnet) is None
    assert "of the family 'resnet'" in run.log[-1]["summary"]
    # Patches of 8 and of 4 meet in units of 8, of which an image of 8 x 12 has no whole number.
    assert masked_student(run, case, recipe(), with_patches_of_eight()) is None
    assert "patches of 8 and the teacher's of 4x4 pixels share no grid" in run.log[-1]["summary"]


def test_a_given_time_is_shared_with_distillation(tmp_path: Path) -> None:
    made = []
    for seconds, began in ((600.0, {}), (600.0, {"began": -1e9}), (5.0, {})):
        run, case = opened(tmp_path)
        run.budget = Budget(seconds, **began)
        made.append(masked_student(run, case, recipe(), arch()))
        (plan,) = plans(run.log)
        assert (plan["training"], plan["wanted"]) == ("masked", 2)
        assert plan["kept_s"] > 0 or seconds == 5.0
    first, resumed, short = made
    assert first is not None
    assert resumed is not None
    assert first.key() == resumed.key()
    assert short is None
    assert "masked: no time" in run.log[-1]["summary"]


def with_patches_of_eight() -> ArchSpec:
    """As nothing would build it for this image: the grid is looked at first."""
    made = arch()
    return ArchSpec(family="vit", params={**made.params, "patch": 8})


@pytest.mark.parametrize(
    ("keys", "kind", "said"),
    [
        (
            {"search": {"families": ["resnet"]}},
            "transformer",
            "which search.families does not name",
        ),
        ({"search": {"evaluations": 0}}, "transformer", "no student is searched"),
        ({"search": {"start": "inherit"}}, "transformer", "search.start = 'anew'"),
        ({}, "convolutional", "a teacher that is a vision transformer"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_masked_steps_that_no_student_could_have_are_refused(
    keys: dict[str, Any], kind: str, said: str, tmp_path: Path
) -> None:
    run, case = opened(tmp_path, kind)
    with pytest.raises(UnsupportedError, match=r"^masked\.steps: .*" + said):
        refuse_unmasked(run, case, recipe(**keys))
    refuse_unmasked(run, case, recipe(**keys, masked={"steps": 0}))
