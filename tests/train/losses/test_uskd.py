"""USKD: the soft target, the order of the others, and the whole against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.uskd import USKD, refined, zipf
from tests.train.losses.reference import Pair, cross_entropy, seen, softmax, start


def test_the_targets_labels_have_the_mean_of_the_labels() -> None:
    own = torch.tensor([0.9, 0.1, 0.5])
    found = refined(own, 1.0)
    assert found.mean().item() == pytest.approx(1)
    squares = np.array([0.81, 0.01, 0.25])
    np.testing.assert_allclose(found, squares + 1 - squares.mean(), rtol=1e-6)
    shares = torch.tensor([0.7, 1.0, 0.6])
    assert refined(own, shares).mean().item() == pytest.approx(shares.mean().item())


def test_others_are_labelled_by_rank(pair: Pair) -> None:
    first = torch.nn.functional.one_hot(pair.labels, 5).bool()
    p = torch.softmax(pair.student, 1).float()
    found = zipf([p, p], first)
    assert torch.allclose(found.sum(1), torch.ones(12))
    for z, row, y in zip(pair.student, found, pair.labels, strict=True):
        others = np.delete(z.numpy(), y)
        np.testing.assert_array_equal(np.argsort(-others), np.argsort(-row.numpy()))
        largest = np.sort(row.numpy())[::-1]
        np.testing.assert_allclose(largest, np.array([12, 6, 4, 3]) / 25, rtol=1e-6)


def test_it_is_the_formula(pair: Pair) -> None:
    student, _, labels = pair.arrays
    embedding = torch.from_numpy(np.random.default_rng(3).normal(size=(12, 6))).float()
    outputs = seen(pair.student, embedding=embedding)
    torch.manual_seed(0)
    loss = USKD()
    loss.prepare(start(outputs, seen(pair.teacher)))
    weight, bias = (p.detach().numpy() for p in loss.head.parameters())
    weak = embedding.numpy() @ weight.T + bias
    q, w = softmax(student), softmax(weak)
    own = q[np.arange(12), labels]
    target = own**2 + 1 - (own**2).mean()
    expected = -(target * np.log(own)).mean()
    smooth = np.full((12, 5), 0.1 / 4)
    smooth[np.arange(12), labels] = 0.9
    expected += 0.005 * -(smooth * np.log(w)).sum(1).mean()
    for i, y in enumerate(labels):
        a, b = np.delete(q[i], y) / (1 - q[i, y]), np.delete(w[i], y) / (1 - w[i, y])
        rank = np.argsort(np.argsort(-(a + b))) + 1
        z = (1 / rank) / (1 / rank).sum()
        expected -= 0.1 * (z * np.log(a)).sum() / 12
    value = loss(outputs, seen(pair.teacher), pair.labels).item()
    assert value == pytest.approx(expected, rel=1e-5)
    assert cross_entropy(student, labels) != pytest.approx(value, rel=1e-2)


def test_the_weak_head_learns_and_reads_no_teacher(pair: Pair) -> None:
    outputs = seen(pair.student, embedding=pair.student)
    loss = USKD()
    loss.prepare(start(outputs, seen(pair.teacher)))
    loss(outputs, seen(pair.teacher), pair.labels).backward()  # type: ignore[no-untyped-call]
    assert loss.head.weight.grad is not None
    assert loss.head.weight.grad.abs().sum() > 0
    assert loss.needs == frozenset()
    assert loss.student_taps == {"embedding"}
