"""Which image classifiers give their weights to students, and when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from squeeze import steps
from squeeze.export import feed_to_ir
from squeeze.graph import save
from squeeze.spec import Recipe
from squeeze.steps.inheriting import inherits, shareable
from squeeze.steps.sharing import inherited_if_any
from squeeze.steps.supernet import Stored, Supernet
from tests.steps.conftest import a_run
from tests.students.test_encoder import random_encoder
from tests.students.test_encoder_images import PARAMS, images
from tests.teacher.models import Image, make

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def recipe(start: str) -> Recipe:
    return Recipe.model_validate({"schema": 1, "name": "r", "search": {"start": start}})


@pytest.mark.parametrize("kind", ["transformer", "convolutional"])
def test_transformers_of_images_inherit_where_that_is_asked_for(kind: str, tmp_path: Path) -> None:
    module: nn.Module = random_encoder(PARAMS) if kind == "transformer" else make(Image)
    save(feed_to_ir(module, {"x": images().numpy()}, output_names=["y"]), tmp_path / "net.onnx")
    np.savez(tmp_path / "images.npz", x=images(160).numpy())
    run = a_run(tmp_path / "work")
    case = steps.load(run, str(tmp_path / "net.onnx"), None, str(tmp_path / "images.npz"), None)
    asked = [inherits(run, case, recipe(start)) for start in ("anew", "inherit", "auto")]
    if kind == "convolutional":
        assert not shareable(case)
        assert asked == [False, False, False]
        return
    assert asked == [False, True, False]
    kept = inherited_if_any(run, case.blind())
    given = replace(
        run, supernet=Supernet(tmp_path, "", "", Stored(kept.path, kept.result, kept.key()), {})
    )
    assert inherits(given, case, recipe("anew"))
    assert kept.result["params"]["patches"] == PARAMS.model_dump(mode="json")["patches"]
    assert [len(layers) for layers in kept.result["kept"]] == [1, 2, 3]
