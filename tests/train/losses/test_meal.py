"""MEAL V2: a cross-entropy without the judge, and whom the judge's gradient pulls where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.meal import MEAL
from squeeze.outputs import Outputs
from tests.train.losses.reference import Pair, found, gradient, softmax, start


def made(pair: Pair, **options: float) -> MEAL:
    torch.manual_seed(0)
    loss = MEAL(**options)
    loss.prepare(start(Outputs(pair.student), Outputs(pair.teacher)))
    return loss


def soft(pair: Pair) -> float:
    student, teacher, _ = pair.arrays
    return float(-(softmax(teacher) * np.log(softmax(student))).sum(1).mean())


def test_without_the_judge_it_is_the_soft_cross_entropy(pair: Pair) -> None:
    loss = made(pair, judge=0.0)
    assert found(loss, pair.student, pair.teacher) == pytest.approx(soft(pair), rel=1e-5)


@pytest.mark.parametrize("reversal", [1.0, -1.0, 0.0])
def test_the_value_is_that_of_the_judge_whatever_is_turned_round(
    pair: Pair, reversal: float
) -> None:
    loss = made(pair, judge=0.5, reversal=reversal)
    weights = [p.detach().double().numpy() for p in loss.network.parameters()]
    both = np.concatenate([softmax(z) for z in (pair.teacher.numpy(), pair.student.numpy())])
    for i in (0, 2):
        both = np.maximum(both @ weights[i].T + weights[i + 1], 0)
    said = 1 / (1 + np.exp(-(both @ weights[4].T + weights[5])))
    truth = np.repeat([[1, 0], [0, 1]], 12, 0)
    judged = -(truth * np.log(said) + (1 - truth) * np.log(1 - said)).mean()
    expected = soft(pair) + 0.5 * judged
    assert found(loss, pair.student, pair.teacher) == pytest.approx(expected, rel=1e-5)


def test_the_judge_learns_to_tell_and_the_student_not_to_be_told(pair: Pair) -> None:
    plain = gradient(made(pair, judge=0.0), pair.student, pair.teacher)
    against, along = (
        gradient(made(pair, reversal=r), pair.student, pair.teacher) - plain for r in (1.0, -1.0)
    )
    assert torch.allclose(against, -along, atol=1e-7)
    none = gradient(made(pair, reversal=0.0), pair.student, pair.teacher)
    assert torch.allclose(none, plain, atol=1e-7)

    # A step of the student against its gradient makes it harder to tell; one of the judge, easier.
    loss = made(pair)

    def judged(z: torch.Tensor) -> float:
        bare = made(pair, judge=0.0)
        return found(loss, z, pair.teacher) - found(bare, z, pair.teacher)

    before = judged(pair.student)
    assert judged(pair.student - 10 * against) > before
    loss(Outputs(pair.student), Outputs(pair.teacher), None).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for p in loss.network.parameters():
            assert p.grad is not None
            p -= 0.5 * p.grad
    assert judged(pair.student) < before
