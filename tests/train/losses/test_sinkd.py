"""SinKD against Sinkhorn iterations in NumPy, and where the distance is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.sinkd import SinKD, transport
from tests.train.losses.reference import Pair, found, softmax


def test_it_is_the_formula(pair: Pair) -> None:
    student, teacher, _ = pair.arrays
    q, p = softmax(student / 2), softmax(teacher / 2)
    cost = np.abs(q[:, None] - p[None]).sum(2)
    plan = np.exp(-cost / 0.1)
    for _ in range(20):
        plan /= plan.sum(1, keepdims=True)
        plan /= plan.sum(0, keepdims=True)
    expected = (plan * cost).sum() / len(cost)
    assert found(SinKD(2.0, 0.0), pair.student, pair.teacher) == pytest.approx(expected, rel=1e-5)


def test_the_plan_has_columns_of_one_and_all_of_the_mass(pair: Pair) -> None:
    cost = (pair.student[:, None] - pair.teacher[None]).abs().sum(2)
    for regularisation in (10.0, 0.1, 1e-4):
        plan = transport(cost, regularisation, 20)
        assert (plan >= 0).all()
        assert torch.allclose(plan.sum(0), torch.ones(len(cost), dtype=torch.float64))
        assert plan.sum().item() == pytest.approx(len(cost))


def test_equal_batches_are_no_distance_apart_when_the_plan_is_sharp(pair: Pair) -> None:
    loss = SinKD(1.0, 0.0, regularisation=1e-3)
    assert found(loss, pair.teacher, pair.teacher) == pytest.approx(0, abs=1e-6)


def test_order_of_the_batch_does_not_matter_and_one_sample_is_its_distance(pair: Pair) -> None:
    loss = SinKD(2.0, 0.0)
    order = torch.randperm(len(pair.student), generator=torch.Generator().manual_seed(0))
    whole = found(loss, pair.student, pair.teacher)
    assert found(loss, pair.student[order], pair.teacher[order]) == pytest.approx(whole, rel=1e-5)
    q, p = (softmax(z[:1].numpy() / 2) for z in (pair.student, pair.teacher))
    one = found(loss, pair.student[:1], pair.teacher[:1])
    assert one == pytest.approx(np.abs(q - p).sum(), rel=1e-5)
