"""PS-KD: cross-entropy at first, then what the student itself said of a view counts along."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses import Moment
from squeeze.losses.pskd import PSKD
from squeeze.outputs import Outputs
from tests.train.losses.reference import Pair, cross_entropy, found, softmax, start


def prepared(pair: Pair) -> PSKD:
    loss = PSKD()
    loss.prepare(start(Outputs(pair.student), Outputs(pair.teacher)))
    return loss


def test_at_first_it_is_the_cross_entropy(pair: Pair) -> None:
    loss = prepared(pair)
    loss.begin(Moment(0, 10, torch.arange(12)))
    expected = cross_entropy(pair.student.numpy(), pair.labels.numpy())
    assert found(loss, *vars(pair).values()) == pytest.approx(expected, rel=1e-5)


def test_a_view_that_comes_again_is_learned_towards_what_was_said_of_it(pair: Pair) -> None:
    loss = prepared(pair)
    student, _, labels = pair.arrays
    loss.begin(Moment(0, 10, torch.arange(4)))
    found(loss, pair.student[:4], pair.teacher[:4], pair.labels[:4])
    # Five of ten steps done: a = 0.8 * 5 / 10. View 3 was seen, in another place; view 9 is new.
    loss.begin(Moment(5, 10, torch.tensor([9, 3])))
    now = pair.student[[5, 6]]
    hard = np.eye(5)[labels[[9, 3]]]
    past = softmax(student[3:4])
    target = np.concatenate([hard[:1], 0.6 * hard[1:] + 0.4 * past])
    expected = -(target * np.log(softmax(now.numpy()))).sum(1).mean()
    value = found(loss, now, pair.teacher[[9, 3]], pair.labels[[9, 3]])
    assert value == pytest.approx(expected, rel=1e-3)  # the past has 11 bits
    # And what it says now replaces that.
    assert torch.allclose(loss.past[3].double(), torch.softmax(now[1], 0), atol=1e-3)


def test_shares_of_classes_are_labels(pair: Pair) -> None:
    loss = prepared(pair)
    loss.begin(Moment(0, 10, torch.arange(12)))
    shares = torch.softmax(pair.teacher.roll(1, 0), 1)
    expected = -(shares.numpy() * np.log(softmax(pair.student.numpy()))).sum(1).mean()
    assert found(loss, pair.student, pair.teacher, shares) == pytest.approx(expected, rel=1e-5)


def test_evaluating_it_leaves_the_past_alone(pair: Pair) -> None:
    loss = prepared(pair)
    loss.begin(Moment(0, 10, torch.arange(12)))
    loss.eval()
    found(loss, *vars(pair).values())
    assert not loss.past.any()
    assert loss.state_dict()["past"].dtype == torch.float16
