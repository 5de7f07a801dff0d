"""How far from the teacher: by hand, and of teachers whose logits say the same of what is decided."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.kd import KD
from squeeze.outputs import Outputs
from squeeze.shrink.distance import share_of_constant


def mse(a: Tensor, b: Tensor) -> Tensor:
    return functional.mse_loss(a, b)


def kd(a: Tensor, b: Tensor) -> Tensor:
    found: Tensor = KD(label_weight=0.0)(Outputs(a), Outputs(b), None)
    return found


def logits(*rows: list[float]) -> Tensor:
    return torch.tensor(rows).log()


def test_classes_are_as_far_as_their_probabilities_as_a_share_of_the_mean_answer() -> None:
    wanted = logits([0.9, 0.1], [0.2, 0.8])
    answers = logits([0.8, 0.2], [0.5, 0.5])
    # The mean is 0.55: 0.35 away from both. 0.1 and 0.3 by hand.
    assert share_of_constant(answers, wanted, "classes", mse) == pytest.approx(0.4 / 0.7)
    assert share_of_constant(wanted, wanted, "classes", mse) == 0
    mean = logits([0.55, 0.45], [0.55, 0.45])
    assert share_of_constant(mean, wanted, "classes", mse) == pytest.approx(1)


def test_yes_and_no_are_as_far_as_their_probabilities() -> None:
    wanted, answers = torch.tensor([[0.9], [0.1]]), torch.tensor([[0.7], [0.1]])
    found = share_of_constant(answers.logit(), wanted.logit(), "yes-no", mse)
    assert found == pytest.approx(0.2 / 0.8, rel=1e-5)


def test_values_are_as_far_as_their_loss() -> None:
    wanted, answers = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [3.0]])
    assert share_of_constant(answers, wanted, "values", mse) == pytest.approx(0.5)


def test_every_third_answer_is_another_one_although_most_classes_are_out_of_the_question() -> None:
    generator = torch.Generator().manual_seed(0)
    # Of five pairs of classes the pair is known to both, and which of the two it is one of them guesses.
    pair = torch.randint(5, (200,), generator=generator)
    sure = 30 * functional.one_hot(pair, 5).repeat_interleave(2, 1).float()
    which = torch.randn(200, 2, generator=generator).repeat(1, 5)
    guessed = torch.randn(200, 2, generator=generator).repeat(1, 5)
    wanted, answers = sure + which, sure + guessed
    otherwise = (answers.argmax(1) != wanted.argmax(1)).float().mean()
    assert 0.4 < otherwise < 0.6
    assert share_of_constant(answers, wanted, "classes", kd) > 0.25
    # What the loss of a training would say of it.
    assert kd(answers, wanted) < 0.1 * kd(wanted.mean(0, keepdim=True).expand_as(wanted), wanted)


def test_a_teacher_that_says_one_thing_of_everything_has_a_finite_share() -> None:
    wanted = torch.zeros(3, 2)
    assert share_of_constant(wanted, wanted, "classes", mse) == 0
    assert 0 < share_of_constant(wanted + torch.eye(3)[:, :2], wanted, "values", mse) < 1e13
