"""TAID: where its target is, step by step, and what it teaches at both ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses import Moment
from squeeze.losses.taid import TAID
from tests.train.losses.reference import Pair, found, gradient, softmax


def test_it_is_the_cross_entropy_to_a_target_between_both(pair: Pair) -> None:
    student, teacher, _ = pair.arrays
    loss = TAID(2.0, 0.0, first=0.3)
    loss.begin(Moment(0, 10))
    target = softmax((0.7 * student + 0.3 * teacher) / 2)
    expected = 4 * -(target * np.log(softmax(student / 2))).sum(1).mean()
    assert found(loss, pair.student, pair.teacher) == pytest.approx(expected, rel=1e-5)


def test_at_the_student_there_is_nothing_to_learn_and_at_the_end_all(pair: Pair) -> None:
    loss = TAID(1.0, 0.0, first=0.0)
    assert gradient(loss, pair.student, pair.teacher).abs().max() < 1e-6
    loss.begin(Moment(9, 10))
    assert loss.share.item() == 1
    p, q = softmax(pair.teacher.numpy()), softmax(pair.student.numpy())
    expected = torch.from_numpy((q - p) / len(p))
    assert torch.allclose(gradient(loss, pair.student, pair.teacher), expected, atol=1e-6)


def test_its_share_moves_by_the_fall_of_the_loss_and_never_below_the_line() -> None:
    loss = TAID(1.0, 0.0, rate=0.05, momentum=0.9)
    values = [4.0, 3.0, 2.5, 2.6, 1.0, 0.9, 0.85, 0.8]
    steps, t, m, before = len(values), 0.4, 0.0, None
    for step, value in enumerate(values):
        loss.begin(Moment(step, steps))
        assert loss.share.item() == pytest.approx(t, rel=1e-5)
        loss.latest.fill_(value)
        # By hand, for the step after.
        line = 0.4 + 0.6 * (step + 1) / (steps - 1)
        if before is not None:
            m = 0.9 * m + 0.1 * (before - value) / (before + 1e-15)
            t += 0.05 / (1 + np.exp(-m)) * (1 - t)
        t, before = min(1.0, max(line, t)), value
    assert t == 1


def test_only_training_moves_its_memory_and_a_checkpoint_has_it(pair: Pair) -> None:
    loss = TAID()
    loss.begin(Moment(0, 9))
    loss.eval()
    found(loss, pair.student, pair.teacher)
    assert loss.latest.isnan()
    loss.train()
    value = found(loss, pair.student, pair.teacher)
    assert loss.latest.item() == value
    other = TAID()
    other.load_state_dict(loss.state_dict())
    assert other.latest.item() == value
