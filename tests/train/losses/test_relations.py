"""Losses on relations between the samples of a batch: SP, RKD, PKT, CC, CRD and MI-alpha against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from squeeze.losses import LOSSES, Loss
from squeeze.losses.cc import CC
from squeeze.losses.crd import CRD
from squeeze.losses.mi_alpha import MIAlpha, information
from squeeze.losses.pkt import PKT
from squeeze.losses.rkd import RKD
from squeeze.losses.sp import SP
from tests.train.losses.reference import Array, seen, start

N = 9
ALIKE = ["cc", "pkt", "rkd", "sp"]


@pytest.fixture
def embeddings() -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(4)
    return torch.from_numpy(random.normal(size=(N, 4))), torch.from_numpy(
        random.normal(size=(N, 7))
    )


def value(loss: Loss, ours: Tensor, theirs: Tensor) -> float:
    taps = [seen(torch.zeros(len(x), 2), embedding=x, feature_map=x) for x in (ours, theirs)]
    return loss(taps[0], taps[1], None).item()


def unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def test_sp_is_the_formula(embeddings: tuple[Tensor, Tensor]) -> None:
    maps = [e[:, :, None, None] * torch.arange(1.0, 5).view(1, 1, 2, 2) for e in embeddings]
    grams = [unit(m.numpy().reshape(N, -1) @ m.numpy().reshape(N, -1).T) for m in maps]
    expected = ((grams[0] - grams[1]) ** 2).sum() / N**2
    assert value(SP(), maps[0], maps[1]) == pytest.approx(expected, rel=1e-5)


def huber(a: Array, b: Array) -> float:
    gap = np.abs(a - b)
    return float(np.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean())


def test_rkd_is_the_formula(embeddings: tuple[Tensor, Tensor]) -> None:
    distances, angles = [], []
    for e in (x.numpy() for x in embeddings):
        d = np.array([[np.linalg.norm(a - b) for b in e] for a in e])
        distances.append(d / d[d > 0].mean())
        angle = np.zeros((N, N, N))
        for j in range(N):
            for i in range(N):
                for k in range(N):
                    if j not in (i, k):
                        a, b = e[i] - e[j], e[k] - e[j]
                        angle[j, i, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        angles.append(angle)
    by_distance, by_angle = huber(*distances), huber(*angles)
    assert value(RKD(), *embeddings) == pytest.approx(25 * by_distance + 50 * by_angle, rel=1e-5)
    assert value(RKD(distances=0, angles=2), *embeddings) == pytest.approx(2 * by_angle, rel=1e-5)


def test_pkt_is_the_formula(embeddings: tuple[Tensor, Tensor]) -> None:
    found = []
    for e in embeddings:
        s = (unit(e.numpy()) @ unit(e.numpy()).T + 1) / 2
        found.append(s / s.sum(1, keepdims=True))
    q, p = found
    expected = (p * np.log((p + 1e-7) / (q + 1e-7))).mean()
    assert value(PKT(), *embeddings) == pytest.approx(expected, rel=1e-4)


def test_cc_is_the_formula(embeddings: tuple[Tensor, Tensor]) -> None:
    kernels = []
    for e in (unit(x.numpy()) for x in embeddings):
        gap = ((e[:, None] - e[None]) ** 2).sum(2)
        kernels.append(np.exp(-0.7 * gap))
    expected = ((kernels[0] - kernels[1]) ** 2).mean()
    assert value(CC(gamma=0.7), *embeddings) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ALIKE)
def test_turned_and_scaled_embeddings_have_the_same_relations(
    name: str, embeddings: tuple[Tensor, Tensor]
) -> None:
    _, theirs = embeddings
    turn, _ = torch.linalg.qr(torch.from_numpy(np.random.default_rng(5).normal(size=(7, 7))))
    moved = 3.0 * theirs @ turn
    assert value(LOSSES[name](), moved, theirs) == pytest.approx(0, abs=1e-9)
    if name == "rkd":  # and shifted, too
        assert value(RKD(), moved + 2.0, theirs) == pytest.approx(0, abs=1e-9)


def test_rkd_has_a_gradient_where_samples_are_the_same(embeddings: tuple[Tensor, Tensor]) -> None:
    ours = embeddings[0].clone()
    ours[1] = ours[0]
    ours.requires_grad_()
    taps = [seen(torch.zeros(N, 2), embedding=e) for e in (ours, embeddings[1])]
    RKD()(taps[0], taps[1], None).backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert ours.grad.isfinite().all()


def layers(loss: CRD | MIAlpha, embeddings: tuple[Tensor, Tensor]) -> Array:
    """The products of both embeddings behind the layers of a loss."""
    torch.manual_seed(0)
    taps = [seen(torch.zeros(N, 2), embedding=e) for e in embeddings]
    loss.prepare(start(taps[0], taps[1]))
    s, t = (
        unit(e.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
        for e, layer in zip(embeddings, (loss.ours, loss.theirs), strict=True)
    )
    return np.asarray(s @ t.T)


def test_crd_is_the_formula(embeddings: tuple[Tensor, Tensor]) -> None:
    loss = CRD(contrast=0.2, width=5)
    odds = np.exp(layers(loss, embeddings) / 0.2)
    expected = -np.log(odds.diagonal() / odds.sum(1)).mean()
    assert value(loss, *embeddings) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_mi_alpha_is_the_formula(alpha: float, embeddings: tuple[Tensor, Tensor]) -> None:
    loss = MIAlpha(alpha=alpha, contrast=0.3, width=5)
    e = np.exp(layers(loss, embeddings) / 0.3)
    q = 2.0
    with torch.no_grad():
        loss.log_q.fill_(np.log(q))
    mixed = alpha * e.mean(0) + (1 - alpha) * q  # m of each of the teacher's samples
    bound = 1 + np.log(e.diagonal() / mixed).mean() - (e / mixed).mean()
    assert value(loss, *embeddings) == pytest.approx(-bound, rel=1e-4)


def test_information_is_bounded_and_nothing_for_a_critic_that_knows_nothing() -> None:
    zero = torch.zeros(())
    for alpha in (0.0, 0.3, 1.0):
        assert information(torch.zeros(N, N), alpha, zero).item() == pytest.approx(0, abs=1e-6)
    sure = 60 * torch.eye(N)
    assert information(sure, 1.0, zero).item() == pytest.approx(np.log(N), rel=1e-5)
    random = torch.from_numpy(np.random.default_rng(6).normal(size=(N, N)))
    assert information(random, 1.0, zero).item() <= np.log(N)


def test_what_learns_is_both_layers() -> None:
    for kind in (CRD, MIAlpha):
        e = torch.from_numpy(np.random.default_rng(7).normal(size=(N, 6))).float()
        loss, taps = kind(), seen(torch.zeros(N, 2), embedding=e)
        loss.prepare(start(taps, taps))
        before = loss(taps, taps, None).item()
        optimiser = torch.optim.SGD(loss.parameters(), lr=0.3)
        for _ in range(50):
            optimiser.zero_grad()
            loss(taps, taps, None).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        assert loss(taps, taps, None).item() < before - 0.3
