"""LELP: kinds that the logits say nothing of, a joint distribution over classes and kinds, and `kd` for one kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from squeeze.errors import ConfigError
from squeeze.losses.kd import KD
from squeeze.losses.lelp import LELP, last_layer, unsaid
from squeeze.outputs import Outputs
from tests.train.losses.reference import seen, start

N, C, D = 200, 3, 10


@pytest.fixture
def teacher() -> Outputs[Tensor]:
    random = np.random.default_rng(0)
    embedding, weights = random.normal(size=(N, D)), random.normal(size=(C, D))
    logits = embedding @ weights.T + random.normal(size=C)
    return seen(torch.from_numpy(logits).float(), embedding=torch.from_numpy(embedding).float())


@pytest.fixture
def student() -> Outputs[Tensor]:
    random = np.random.default_rng(1)
    z, h = (torch.from_numpy(random.normal(size=(N, k))).float() for k in (C, 6))
    return seen(z, embedding=h)


def made(student: Outputs[Tensor], teacher: Outputs[Tensor], **options: float) -> LELP:
    torch.manual_seed(0)
    loss = LELP(**options)
    loss.prepare(start(student, teacher))
    return loss


def test_the_last_layer_is_found_and_kinds_are_beside_it(
    student: Outputs[Tensor], teacher: Outputs[Tensor]
) -> None:
    h = teacher.taps["embedding"].double()
    weights = last_layer(h, teacher.logits.double())
    rows = h @ weights.T
    said = teacher.logits.double()
    assert torch.allclose(rows - rows.mean(0), said - said.mean(0), atol=1e-5)
    left = unsaid(weights)
    assert (weights @ left).abs().max() < 1e-5
    assert left.trace().item() == pytest.approx(D - C)
    # What moves the logits alone moves no kind.
    loss = made(student, teacher)
    moved = seen(teacher.logits, embedding=teacher.taps["embedding"] + 5 * weights[0].float())
    assert torch.allclose(loss.of_teacher(moved)[1], loss.of_teacher(teacher)[1], atol=1e-4)


def test_kinds_of_a_class_add_up_to_the_class_and_spread_by_one(
    student: Outputs[Tensor], teacher: Outputs[Tensor]
) -> None:
    loss = made(student, teacher, temperature=1.0, kinds=4)
    log_p, log_r = loss.of_teacher(teacher)
    joint = (log_p[..., None] + log_r).exp()
    assert torch.allclose(joint.sum(2), torch.softmax(teacher.logits, 1), atol=1e-6)
    assert joint.shape == (N, C, 4)
    own = teacher.logits.argmax(1)
    for c in range(C):
        rows = teacher.taps["embedding"][own == c] @ loss.directions[c].T - loss.offsets[c]
        assert rows.mean(0).abs().max() < 1e-4
        assert rows.square().mean().item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kinds", [1, 3])
def test_it_is_the_divergence_of_the_joint_distributions(
    student: Outputs[Tensor], teacher: Outputs[Tensor], kinds: int
) -> None:
    loss = made(student, teacher, temperature=1.0, kinds=kinds, label_weight=0.0)
    p, r = (x.exp().double().numpy() for x in loss.of_teacher(teacher))
    weight, bias = (x.detach().double().numpy() for x in loss.head.parameters())
    u = (student.taps["embedding"].numpy() @ weight.T + bias).reshape(N, C, kinds)
    u = np.exp(u) / np.exp(u).sum(2, keepdims=True)
    q = np.exp(student.logits.numpy())
    q /= q.sum(1, keepdims=True)
    theirs, ours = (p[..., None] * r).reshape(N, -1), (q[..., None] * u).reshape(N, -1)
    expected = (theirs * np.log(theirs / ours)).sum(1).mean()
    value = loss(student, teacher, None).item()
    assert value == pytest.approx(expected, rel=1e-4)
    if kinds == 1:
        assert value == pytest.approx(KD(1.0, 0.0)(student, teacher, None).item(), rel=1e-5)


def test_the_temperature_is_for_classes_alone(
    student: Outputs[Tensor], teacher: Outputs[Tensor]
) -> None:
    # Kinds count by the teacher's softened classes; what they add does not grow with the temperature's square.
    loss = made(student, teacher, temperature=4.0, kinds=3, label_weight=0.0)
    log_p, log_r = loss.of_teacher(teacher)
    mine = loss.head(student.taps["embedding"]).view(N, C, 3).log_softmax(2)
    within = (log_p.exp() * (log_r.exp() * (log_r - mine)).sum(2)).sum(1).mean().item()
    expected = KD(4.0, 0.0)(student, teacher, None).item() + within
    assert loss(student, teacher, None).item() == pytest.approx(expected, rel=1e-5)


def test_a_teacher_that_says_all_in_its_logits_is_refused() -> None:
    z = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 4))).float()
    outputs = seen(z, embedding=z)
    with pytest.raises(ConfigError, match=r"2 kinds need as many .* embedding of 4 has 0"):
        made(outputs, outputs, kinds=2)
    with pytest.raises(ValueError, match=r"kinds must be a whole number from 1 on \(got 1.5\)"):
        LELP(kinds=1.5)
