"""A training that stops where its average gets no better, and one that goes on from the weights of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import nn

from squeeze.guides import cache_answers
from squeeze.progress import Progress
from squeeze.spec import DistillPart
from squeeze.train.compute import Compute
from squeeze.train.loop import stale
from squeeze.train.student import TrainedStudent, train_student
from tests.train import samples


@pytest.mark.parametrize(
    ("seen", "patience", "expected"),
    [
        ([80.0, 85.0, 85.0], 1, True),  # as good is no better
        ([80.0, 85.0, 84.0, 85.1], 2, False),
        ([80.0, 85.0, 84.0, 84.9], 2, True),
        ([80.0, 85.0, 84.0, 84.9], 0, False),  # never asked
        ([85.0, 84.0], 2, False),  # too early to say
        ([], 1, False),
    ],
)
def test_stale_is_no_better_for_so_many_looks(
    seen: list[float], patience: int, expected: bool
) -> None:
    assert stale([{"agreement": value} for value in seen], patience) is expected
    # Of an error less is better.
    assert stale([{"error": -value} for value in seen], patience) is expected


def test_what_is_not_watched_is_never_stale() -> None:
    assert not stale([{"loss": 1.0}] * 5, 1)


def trained(
    folder: Path, part: DistillPart, name: str, begin: Path | None = None, *, values: bool = False
) -> TrainedStudent:
    shape = samples.SHAPES["vector"]
    data = samples.calib(
        "vector", classes=None if values else 3, metric="mse" if values else "top1"
    )
    answers = folder / "answers"
    teacher = samples.linear_teacher(folder / "teacher", shape, gain=5.0, offset=100.0)
    given = {"seed": 0, "threads": 1, "progress": Progress()}
    cache_answers(teacher, data, part, folder=answers, taps=(), **given)  # type: ignore[arg-type]
    return train_student(
        samples.arch(shape, family="mlp"),
        data,
        part,
        answers=answers,
        compute=Compute.choose("cpu", "fp32"),
        folder=folder / name,
        begin=begin,
        **given,  # type: ignore[arg-type]
    )


def test_a_training_that_gets_no_better_stops(tmp_path: Path) -> None:
    # At such a rate nothing changes: the first look is the best, and two more are no better.
    part = samples.part(steps=50, lr=1e-12, patience=2)
    found = trained(tmp_path, part, "short")
    assert [entry["step"] for entry in found.history] == [5, 10, 15]
    assert "no better after 15 of 50 steps" in found.summary
    whole = trained(tmp_path, part.model_copy(update={"patience": 0}), "whole")
    assert whole.history[-1]["step"] == 50


def test_values_are_learned_on_their_scale_again(tmp_path: Path) -> None:
    first = trained(tmp_path, samples.part(steps=40), "first", values=True)
    save_file(first.module.state_dict(), tmp_path / "weights.safetensors")
    still = samples.part(steps=3, lr=1e-12, weight_decay=0)
    again = trained(tmp_path, still, "again", tmp_path / "weights.safetensors", values=True)
    for module in (first.module, again.module):
        assert isinstance(module.classifier, nn.Linear)
    before, after = first.module.state_dict(), again.module.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-3)
