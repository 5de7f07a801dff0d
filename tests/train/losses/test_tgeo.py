"""TGeo-KD: the sum for given ratios, a look ahead that is the gradient of a real step, and a controller that learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.tgeo import TGeo
from squeeze.outputs import Outputs
from tests.train.losses.reference import Pair, cross_entropy, kl, seen, softmax, start


def made(pair: Pair, embedding: Tensor, **options: float) -> tuple[TGeo, Outputs[Tensor]]:
    student = seen(pair.student, embedding=embedding)
    torch.manual_seed(0)
    loss = TGeo(**options)
    loss.prepare(start(student, seen(pair.teacher), pair.labels))
    return loss, student


@pytest.fixture
def embedding() -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(size=(12, 6))).float()


@pytest.mark.parametrize("bias", [-50.0, 50.0], ids=["label", "teacher"])
def test_at_the_ends_it_is_cross_entropy_or_kd(pair: Pair, embedding: Tensor, bias: float) -> None:
    loss, student = made(pair, embedding, temperature=2.0)
    last = loss.controller[-1]
    assert isinstance(last, nn.Linear)
    nn.init.constant_(last.bias, bias)
    z, t, y = pair.arrays
    expected = cross_entropy(z, y) if bias < 0 else 4 * kl(softmax(t / 2), softmax(z / 2)).mean()
    assert loss(student, seen(pair.teacher), pair.labels).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_the_network_sees_what_the_paper_says(pair: Pair, embedding: Tensor) -> None:
    loss, student = made(pair, embedding)
    given: list[Tensor] = []
    loss.controller.register_forward_hook(lambda _m, args, _out: given.append(args[0]))
    loss(student, seen(pair.teacher), pair.labels)
    z, t, y = pair.arrays
    q, p, g = softmax(z), softmax(t), np.eye(5)[y]
    mean = np.stack([p[y == c].mean(0) if (y == c).any() else np.zeros(5) for c in range(5)])[y]
    sides = [(mean - q), (g - q), (p - q), (p - g), (mean - g)]
    expected = np.concatenate([q, p, g, mean, *(s**2 for s in sides)], 1)
    np.testing.assert_allclose(given[0], expected, rtol=1e-4, atol=1e-6)


def test_its_gradient_is_that_of_a_real_step_of_the_last_layer(
    pair: Pair, embedding: Tensor
) -> None:
    loss, student = made(pair, embedding, reach=3.0)
    loss(student, seen(pair.teacher), pair.labels).backward()  # type: ignore[no-untyped-call]
    found = [p.grad.clone() for p in loss.controller.parameters() if p.grad is not None]
    assert len(found) == 6
    loss.zero_grad()

    # The same with a last layer that is really there, its step taken by autograd.
    h = (embedding / embedding.square().sum(1).mean().sqrt()).double()
    z, t, y = pair.student, pair.teacher, pair.labels
    q, p = torch.softmax(z, 1), torch.softmax(t, 1)
    g = functional.one_hot(y, 5).double()
    with torch.no_grad():
        loss.double()
    outer = torch.zeros((), dtype=torch.float64)
    for train, judge in ((slice(6), slice(6, None)), (slice(6, None), slice(6))):
        weight = torch.zeros(5, 6, dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(5, dtype=torch.float64, requires_grad=True)
        logits = z[train] + h[train] @ weight.T + bias
        a = loss.ratios(q, p, g, y)[train]
        tau = 1.5
        soft = functional.log_softmax(logits / tau, 1)
        target = torch.softmax(t[train] / tau, 1)
        by_teacher = tau**2 * (target * (target.log() - soft)).sum(1, keepdim=True)
        by_label = functional.cross_entropy(logits, y[train], reduction="none")[:, None]
        inner = (a * by_teacher + (1 - a) * by_label).mean()
        steps = torch.autograd.grad(inner, (weight, bias), create_graph=True)
        moved = z[judge] - 3.0 * (h[judge] @ steps[0].T + steps[1])
        outer = outer + functional.cross_entropy(moved, y[judge]) / 2
    expected = torch.autograd.grad(outer, list(loss.controller.parameters()))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.double(), other, rtol=1e-3, atol=1e-7)


def test_a_controller_learns_whom_to_believe() -> None:
    # The teacher is right about samples of class 0 and says the opposite of the others.
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 3
    wrong = labels != 0
    teacher = 6.0 * functional.one_hot(torch.where(wrong, 3 - labels, labels), 3).float()
    embedding = functional.one_hot(labels, 3) + 0.1 * torch.randn(64, 3, generator=random)
    student = seen(0.1 * torch.randn(64, 3, generator=random), embedding=embedding)
    torch.manual_seed(0)
    loss = TGeo()
    loss.prepare(start(student, seen(teacher), labels))

    def believed() -> Tensor:
        q, p = torch.softmax(student.logits, 1), torch.softmax(teacher, 1)
        return loss.ratios(q, p, functional.one_hot(labels, 3).float(), labels).detach()[:, 0]

    optimiser = torch.optim.SGD(loss.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(300):
        optimiser.zero_grad()
        loss(student, seen(teacher), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert believed()[wrong].mean() < 0.2
    assert believed()[~wrong].mean() > believed()[wrong].mean() + 0.2


def test_the_controllers_lesson_has_no_say_in_value_or_student(
    pair: Pair, embedding: Tensor
) -> None:
    loss, _ = made(pair, embedding)
    gradients, values = [], []
    for training in (True, False):
        loss.train(training)
        z = pair.student.clone().requires_grad_()
        value = loss(seen(z, embedding=embedding), seen(pair.teacher), pair.labels)
        gradients.append(torch.autograd.grad(value, z)[0])
        values.append(value.item())
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert torch.allclose(gradients[0], gradients[1])
