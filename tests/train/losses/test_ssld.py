"""SSLD: the divergence to the middle, its bounds and its symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.ssld import SSLD
from tests.train.losses.reference import Pair, found, kl, softmax


def test_it_is_the_formula_and_the_same_both_ways(pair: Pair) -> None:
    q, p = softmax(pair.student.numpy()), softmax(pair.teacher.numpy())
    expected = (0.5 * kl(p, (p + q) / 2) + 0.5 * kl(q, (p + q) / 2)).mean()
    assert found(SSLD(), pair.student, pair.teacher) == pytest.approx(expected, rel=1e-5)
    assert found(SSLD(), pair.teacher, pair.student) == pytest.approx(expected, rel=1e-5)


def test_what_has_nothing_in_common_is_log_two_apart() -> None:
    one, other = 60 * torch.eye(2)
    value = found(SSLD(), one[None], other[None])
    assert value == pytest.approx(np.log(2), rel=1e-6)
