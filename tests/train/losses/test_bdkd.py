"""BD-KD: both divergences in NumPy, and which of them counts more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.bdkd import BDKD
from tests.train.losses.reference import Pair, found, kl, softmax


@pytest.mark.parametrize("balance", [0.0, 1.0, 2.5])
def test_it_is_the_formula(pair: Pair, balance: float) -> None:
    student, teacher, _ = pair.arrays
    q, p = softmax(student / 3), softmax(teacher / 3)
    entropy = [-(a * np.log(a)).sum(1) for a in (q, p)]
    surer = entropy[0] < entropy[1]
    assert surer.any()
    assert not surer.all()
    forward, reverse = np.where(surer, 1 + balance, 1), np.where(surer, 1, 1 + balance)
    expected = 9 * (forward * kl(p, q) + reverse * kl(q, p)).mean()
    value = found(BDKD(3.0, 0.0, balance), pair.student, pair.teacher)
    assert value == pytest.approx(expected, rel=1e-5)


def test_without_balance_it_is_the_same_both_ways(pair: Pair) -> None:
    loss = BDKD(4.0, 0.0, 0.0)
    there, back = found(loss, pair.student, pair.teacher), found(loss, pair.teacher, pair.student)
    assert there == pytest.approx(back, rel=1e-5)


def test_classes_in_another_order_are_as_sure(pair: Pair) -> None:
    # Equal entropies: the student is not the surer one, whichever of the two it is.
    two = pair.teacher[:, :2]  # the sum of two is the same to the bit
    other = two.flip(1)
    p, q = softmax(two.numpy()), softmax(other.numpy())
    expected = (kl(p, q) + 2 * kl(q, p)).mean()
    loss = BDKD(1.0, 0.0, 1.0)
    assert found(loss, other, two) == pytest.approx(expected, rel=1e-4)


def test_a_balance_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"balance must be 0 or more \(got -1\)"):
        BDKD(balance=-1.0)
    assert not list(torch.nn.Module.parameters(BDKD()))
