"""PLD: its formula place by place, and the losses that it is in special cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian

from squeeze.losses.pld import PLD
from squeeze.outputs import Outputs
from tests.train.losses.reference import Pair, cross_entropy, found, gradient, softmax


def ranked(t: np.ndarray, y: int) -> list[int]:
    return [y, *(int(c) for c in np.argsort(-t) if c != y)]


def test_it_is_the_formula(pair: Pair) -> None:
    student, teacher, labels = pair.arrays
    total = 0.0
    for z, t, y in zip(student, teacher, labels, strict=True):
        order, p = ranked(t, y), softmax(t[None] / 2.0)[0]
        for k, c in enumerate(order):
            total += p[c] * (np.log(np.exp(z[order[k:]]).sum()) - z[c])
    expected = total / len(labels)
    assert found(PLD(2.0), *vars(pair).values()) == pytest.approx(expected, rel=1e-5)


def test_with_all_confidence_in_the_label_it_is_the_cross_entropy(pair: Pair) -> None:
    teacher = 1e4 * torch.nn.functional.one_hot(pair.labels, pair.teacher.shape[1]).double()
    expected = cross_entropy(pair.student.numpy(), pair.labels.numpy())
    assert found(PLD(1.0), pair.student, teacher, pair.labels) == pytest.approx(expected, rel=1e-5)


def test_with_even_confidence_it_is_the_likelihood_of_the_list(pair: Pair) -> None:
    # Draws without putting back: the chance of the order is the product of the first picks.
    student, _, labels = pair.arrays
    c = student.shape[1]
    teacher = -1e-6 * np.arange(c) * np.ones_like(student)
    chance = 0.0
    for z, t, y in zip(student, teacher, labels, strict=True):
        left = np.exp(z)
        for pick in ranked(t, y):
            chance += np.log(left[pick] / left.sum())
            left[pick] = 0
    expected = -chance / len(labels) / c
    value = found(PLD(1.0), pair.student, torch.from_numpy(teacher), pair.labels)
    assert value == pytest.approx(expected, rel=1e-5)


def test_its_gradient_sums_to_zero_and_it_is_convex(pair: Pair) -> None:
    rows = gradient(PLD(1.0), pair.student, pair.teacher, pair.labels).sum(1)
    assert rows.abs().max() < 1e-6

    def of(z: torch.Tensor) -> torch.Tensor:
        return PLD(1.0)(Outputs(z[None]), Outputs(pair.teacher[:1]), pair.labels[:1])

    curvature = hessian(of, pair.student[0])  # type: ignore[no-untyped-call]
    assert torch.linalg.eigvalsh(curvature).min() > -1e-5
