"""What can be trained towards a teacher, and what is said where nothing can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from squeeze.case import Case
from squeeze.interface import Interface, TensorSpec
from squeeze.net import FloatNet
from squeeze.steps.answering import untrainable
from squeeze.workdir import digest_file
from tests.train import samples

X = TensorSpec("x", "float32", (6,))
LOGITS = TensorSpec("logits", "float32", (3,))


def test_a_class_at_each_place_is_learned_where_areas_are_judged(tmp_path: Path) -> None:
    teacher = samples.linear_teacher(tmp_path, samples.SHAPES["vector"])
    spec = replace(LOGITS, shape=(3, 7, 7))
    for metric, shape, free in (
        ("miou", (3, 7, 7), True),
        ("miou", (1, 7, 7), False),
        ("mse", (3, 7, 7), False),
    ):
        ends = Interface((X,), (replace(spec, shape=shape),))
        net = FloatNet("kept", teacher.model, digest_file(teacher.model), ends)
        case = Case(teacher, net, samples.calib("vector", metric=metric), (), tmp_path)
        assert (not untrainable(case, maps=True)) is free
        assert untrainable(case)


@pytest.mark.parametrize(
    ("interface", "why"),
    [
        (Interface((X,), (LOGITS,)), ""),
        (Interface((X, replace(X, name="mask")), (LOGITS,)), ""),
        (Interface((replace(X, batch_axis=1),), (LOGITS,)), "this one has x float32 [6, n]"),
        (Interface((X,), (LOGITS, replace(LOGITS, name="boxes"))), "this one has 2"),
        (Interface((X,), (replace(LOGITS, shape=(7, 3)),)), "a sample of 'logits' is [7, 3]"),
        (Interface((X,), (replace(LOGITS, batch_axis=None),)), "a sample of 'logits' is [3]"),
    ],
)
def test_training_needs_samples_along_the_first_axis_and_one_output_of_rank_two(
    interface: Interface, why: str, tmp_path: Path
) -> None:
    teacher = samples.linear_teacher(tmp_path, samples.SHAPES["vector"])
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), interface)
    found = untrainable(Case(teacher, net, samples.calib("vector"), (), tmp_path))
    assert found.endswith(why)
    assert bool(found) == bool(why)
