"""NKD against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.nkd import NKD
from tests.train.losses.reference import Pair, cross_entropy, found, gradient, softmax


@pytest.mark.parametrize("tau", [1.0, 3.0])
def test_it_is_the_formula(pair: Pair, tau: float) -> None:
    student, teacher, labels = pair.arrays
    total = 0.0
    for z, t, y in zip(student, teacher, labels, strict=True):
        p, q = softmax(t[None])[0], softmax(z[None])[0]
        a, b = (softmax(np.delete(v, y)[None] / tau)[0] for v in (t, z))
        total += -p[y] * np.log(q[y]) - 1.5 * tau**2 * (a * np.log(b)).sum()
    soft = total / len(labels)
    expected = 0.6 * soft + 0.4 * cross_entropy(student, labels)
    assert found(NKD(tau, 0.4), *vars(pair).values()) == pytest.approx(expected, rel=1e-5)


def test_the_others_are_right_whatever_the_target_has(pair: Pair) -> None:
    # The student has the teacher's logits, but for the target's: its gradient there is all that is left.
    student = pair.teacher.clone()
    rows = torch.arange(len(student))
    student[rows, pair.labels] += 3.0
    loss = NKD(2.0, 0.0, gamma=100.0)
    by_all = gradient(loss, student, pair.teacher, pair.labels)
    by_target = gradient(NKD(2.0, 0.0, gamma=1e-9), student, pair.teacher, pair.labels)
    assert torch.allclose(by_all, by_target, atol=1e-4)


def test_without_labels_the_target_is_the_teachers_first_choice(pair: Pair) -> None:
    first = pair.teacher.argmax(1)
    loss = NKD(1.0, 0.0)
    assert found(loss, pair.student, pair.teacher) == found(loss, pair.student, pair.teacher, first)
