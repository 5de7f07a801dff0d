"""A compile with a second teacher: both answer, one is compressed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import squeeze
from squeeze.errors import ConfigError
from tests.e2e.conftest import VectorTeacher, train, vectors

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained


@pytest.mark.usefixtures("shared_cache")
def test_a_student_learns_what_two_teachers_say_together(
    vector_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    other = train(VectorTeacher(), vectors, tmp_path)
    package = squeeze.compile(
        str(vector_teacher.pt2),
        str(vector_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe=str(small_recipe),
        drop=20.0,
        guides=[(str(other.pt2), 0.5)],
        overrides={"goal.objective": "smallest", "search.shrink": 20.0},
    )
    said = {step["name"]: step["summary"] for step in package.manifest["steps"]}
    assert "chooses as the teacher does for 9" in said["guide"]
    assert said["labels"].startswith("2 teachers saw 2 views of ")
    assert package.manifest["arch"]["family"] == "mlp"


def test_guides_are_refused_where_nothing_learns_from_them(
    vector_teacher: Trained, tmp_path: Path
) -> None:
    with np.load(vector_teacher.data) as data:
        np.savez(tmp_path / "values.npz", x_train=data["x_train"], x_test=data["x_test"])
    values, labelled = str(tmp_path / "values.npz"), str(vector_teacher.data)
    for recipe, data, metric, said in (
        ("ptq", labelled, None, "recipe 'ptq' trains nothing"),
        ("balanced", values, "mse", "several teachers are for classes, and these outputs are val"),
    ):
        with pytest.raises(ConfigError, match=f"--guide: {said}"):
            squeeze.compile(
                str(vector_teacher.pt2),
                data,
                out=tmp_path / "out",
                recipe=recipe,
                metric=metric,
                guides=[str(vector_teacher.pt2)],
                accept_baseline=True,
            )


@pytest.mark.usefixtures("shared_cache")
def test_a_student_is_taught_by_an_assistant_of_the_teacher(
    vector_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    package = squeeze.compile(
        str(vector_teacher.pt2),
        str(vector_teacher.data),
        out=tmp_path / "out",
        threads=1,
        recipe=str(small_recipe),
        drop=20.0,
        overrides={
            "goal.objective": "smallest",
            "search.shrink": 20.0,
            "distill.assistants": 1,
        },
    )
    manifest = package.manifest
    names = [step["name"] for step in manifest["steps"]]
    assert names.index("distill-assistant") < names.index("assistant") < names.index("distill")
    said = {step["name"]: step["summary"] for step in manifest["steps"]}
    assert said["assistant"].startswith("mlp with ")
    assert manifest["arch"]["family"] == "mlp"
    # The teacher judges, whoever taught: with an untrained student the goal would be missed.
    assert manifest["measurements"]["student"]["metric"] > vector_teacher.accuracy - 20


@pytest.mark.usefixtures("shared_cache")
def test_a_student_of_chosen_samples_and_views_with_labels_that_count_by_themselves(
    vector_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    chosen = {"keep": 0.5, "keep_chosen": "once", "crops": 2, "codec": "renorm-2"}
    shares = {"drop_unsure": 0.05, "label_unsure": 0.05, "thin_sure": 0.2}
    packages = []
    for place, more in (("few", {**chosen, **shares}), ("all", {})):
        wanted = {f"distill.{key}": value for key, value in more.items()}
        package = squeeze.compile(
            str(vector_teacher.pt2),
            str(vector_teacher.data),
            out=tmp_path / place,
            threads=1,
            recipe=str(small_recipe),
            drop=20.0,
            overrides={
                "goal.objective": "smallest",
                "search.shrink": 20.0,
                "distill.label_weight": "auto",
                **wanted,
            },
        )
        packages.append({s["name"]: s["summary"] for s in package.manifest["steps"]})
        assert package.manifest["arch"]["family"] == "mlp"
    few, every = packages
    # Half of what is left of 1,200 samples when some calibrate.
    kept, _, given = few["fewer-samples"].split()[:3]
    assert 2 * int(kept) - int(given.replace(",", "")) in (0, 1)
    assert few["labels"] == f"the teacher saw 2 views of {kept} samples, kept as renorm-2"
    assert few["weigh"] == "labels count 0.30, for 50% of the samples"
    assert "fewer-samples" not in every
    assert every["weigh"].startswith("labels count 0.")
    assert "samples that were not fitted to" in every["weigh"]


def test_guide_that_is_not_there_is_refused_before_the_teacher_is_looked_at(tmp_path: Path) -> None:
    for guide in ("wide.onnx", ("wide.onnx", 0.5)):
        with pytest.raises(ConfigError, match=r"^--guide wide\.onnx: no such file"):
            squeeze.compile("no teacher.onnx", out=tmp_path / "out", guides=[guide])
