"""OFA: its targets, the cross-entropy that it is for power 1, and an exit that learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze.losses.ofa import OFA, enhanced
from tests.train.losses.reference import Pair, cross_entropy, found, seen, softmax, start


def test_a_power_above_one_raises_the_target_and_lowers_the_others(pair: Pair) -> None:
    p = torch.softmax(pair.teacher, 1)
    own = torch.nn.functional.one_hot(pair.labels, 5).bool()
    raised = enhanced(p, pair.labels, 1.5)
    assert (raised[own] >= p[own]).all()
    assert (raised[~own] <= p[~own]).all()
    np.testing.assert_allclose(raised[own], (p[own].numpy() + 1) ** 1.5 - 1)
    np.testing.assert_allclose(raised[~own], p[~own].numpy() ** 1.5)
    assert torch.allclose(enhanced(p, pair.labels, 1.0), p)


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_it_is_the_formula(pair: Pair, power: float) -> None:
    z, t, y = pair.arrays
    own = np.eye(5)[y]
    target = (softmax(t) + own) ** power - own
    soft = -(target * np.log(softmax(z))).sum(1).mean()
    expected = 0.7 * soft + 0.3 * cross_entropy(z, y)
    loss = OFA(label_weight=0.3, power=power, exits=0.0)
    assert found(loss, *vars(pair).values()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(12, 6, 3, 3), (12, 6, 5), (12, 6)])
def test_the_exit_is_one_more_student(pair: Pair, shape: tuple[int, ...]) -> None:
    here = torch.from_numpy(np.random.default_rng(9).normal(size=shape)).float()
    student = seen(pair.student, feature_map=here)
    torch.manual_seed(0)
    loss = OFA(label_weight=0.0, exits=2.0)
    loss.prepare(start(student, seen(pair.teacher)))
    bare = found(OFA(label_weight=0.0, exits=0.0), *vars(pair).values())
    outs: list[torch.Tensor] = []
    loss.head.register_forward_hook(lambda _m, _args, out: outs.append(out.detach()))
    whole = loss(student, seen(pair.teacher), pair.labels)
    at_exit = found(OFA(label_weight=0.0, exits=0.0), outs[0], pair.teacher, pair.labels)
    assert whole.item() == pytest.approx(bare + 2 * at_exit, rel=1e-5)
    whole.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())
