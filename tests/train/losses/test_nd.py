"""ND: where it is nothing, its value in NumPy, and the classes' directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from squeeze.losses.nd import ND
from tests.train.losses.reference import Pair, seen, start


def of(ours: Tensor, theirs: Tensor, pair: Pair, labels: Tensor | None) -> tuple[ND, float]:
    student, teacher = (seen(pair.teacher, embedding=e) for e in (ours, theirs))
    torch.manual_seed(0)
    loss = ND()
    loss.prepare(start(student, teacher, labels))
    return loss, loss(student, teacher, labels).item()


@pytest.fixture
def theirs() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(12, 6))).float()


def test_it_is_the_formula(pair: Pair, theirs: Tensor) -> None:
    ours = theirs.roll(1, 0) + 0.5
    s, t, y = ours.numpy(), theirs.numpy(), pair.labels.numpy()
    expected = 0.0
    for i in range(12):
        mean = t[y == y[i]].mean(0)
        longest = max(np.linalg.norm(s[i]), np.linalg.norm(t[i]))
        expected += (1 - s[i] @ mean / np.linalg.norm(mean) / longest) / 12
    loss, value = of(ours, theirs, pair, pair.labels)
    assert isinstance(loss.project, nn.Identity)
    assert value == pytest.approx(expected, rel=1e-5)


def test_it_is_nothing_for_long_embeddings_along_the_class_alone(
    pair: Pair, theirs: Tensor
) -> None:
    loss, _ = of(theirs, theirs, pair, pair.labels)
    along = 100 * loss.directions[pair.labels]
    assert of(along, theirs, pair, pair.labels)[1] == pytest.approx(0, abs=1e-6)
    assert of(along / 1e4, theirs, pair, pair.labels)[1] > 0.5
    assert of(-along, theirs, pair, pair.labels)[1] == pytest.approx(2, abs=1e-6)


def test_blends_are_of_no_class_and_other_widths_are_projected(pair: Pair, theirs: Tensor) -> None:
    shares = torch.nn.functional.one_hot(pair.labels, 5).float()
    shares[0] = torch.tensor([0.6, 0.4, 0, 0, 0])
    moved = theirs.clone()
    moved[0] = 1e6
    by_blends, _ = of(theirs, moved, pair, shares)
    assert by_blends.directions.abs().max() < 1
    y = pair.labels.numpy()
    for c in set(y):
        members = theirs.numpy()[1:][y[1:] == c]
        if len(members):
            mean = members.mean(0) / np.linalg.norm(members.mean(0))
            np.testing.assert_allclose(by_blends.directions[c], mean, rtol=1e-4, atol=1e-5)
    loss, value = of(theirs[:, :4], theirs, pair, None)
    assert loss.project.weight.shape == (6, 4)
    assert 0 < value < 2
