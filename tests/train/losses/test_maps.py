"""Losses on feature maps of other sizes: AT, FitNet, VID, MGD and TRG against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from squeeze.errors import ConfigError
from squeeze.losses import Loss
from squeeze.losses.at import AT
from squeeze.losses.fitnet import FitNet
from squeeze.losses.maps import level, regression
from squeeze.losses.mgd import MGD
from squeeze.losses.trg import TRG, graph, standing_out
from squeeze.losses.vid import VID
from tests.train.losses.reference import Array, seen, softmax, start

N = 6
Maps = tuple[Tensor, Tensor]


@pytest.fixture
def maps() -> Maps:
    random = np.random.default_rng(8)
    ours, theirs = random.normal(size=(N, 3, 4, 4)), random.normal(size=(N, 5, 2, 2))
    return torch.from_numpy(ours).float(), torch.from_numpy(theirs).float()


def value(loss: Loss, maps: Maps, *, prepare: bool = True) -> float:
    taps = [seen(torch.zeros(N, 2), feature_map=m) for m in maps]
    if prepare and loss.prepares:
        torch.manual_seed(0)
        loss.prepare(start(taps[0], taps[1]))
    return loss(taps[0], taps[1], None).item()


def halved(x: Array) -> Array:
    """[n, c, 4, 4] -> [n, c, 2, 2], means of squares."""
    return np.asarray(x.reshape(*x.shape[:2], 2, 2, 2, 2).mean((3, 5)))


def mixed(x: Array, layer: nn.Module) -> Array:
    """A 1x1 convolution."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    weight, bias = layer.weight.detach().numpy()[:, :, 0, 0], layer.bias.detach().numpy()
    return np.asarray(np.einsum("nchw,dc->ndhw", x, weight) + bias[:, None, None])


def test_maps_are_brought_to_the_smaller_along_each_axis(maps: Maps) -> None:
    a, b = level(*maps)
    np.testing.assert_allclose(a, halved(maps[0].numpy()), rtol=1e-5, atol=1e-6)
    assert torch.equal(b, maps[1])
    a, b = level(torch.rand(2, 3, 8, 2), torch.rand(2, 4, 2, 8))
    assert a.shape == (2, 3, 2, 2)
    assert b.shape == (2, 4, 2, 2)
    # Sound against pictures, and networks without places: what is left is a mean.
    for other in (torch.rand(2, 3, 8), torch.rand(2, 3)):
        a, b = level(other, torch.rand(2, 4, 2, 8))
        assert a.shape == (2, 3, 1)
        assert b.shape == (2, 4, 1)
    assert level(torch.rand(2, 3, 9), torch.rand(2, 3, 4))[0].shape == (2, 3, 4)


def test_at_is_the_formula_and_knows_no_scale(maps: Maps) -> None:
    found = []
    for m in (halved(maps[0].numpy()), maps[1].numpy()):
        rows = (m**2).mean(1).reshape(N, -1)
        found.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    expected = ((found[0] - found[1]) ** 2).mean()
    assert value(AT(), maps) == pytest.approx(expected, rel=1e-5)
    assert value(AT(), (7 * maps[0], -maps[1])) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ConfigError, match="'at' compares places"):
        value(AT(), (maps[0], maps[1].mean((2, 3), keepdim=True)))


def test_a_regression_begins_near_the_mean_of_what_is_wanted(maps: Maps) -> None:
    ours, theirs = level(*maps)
    with torch.no_grad():
        made = regression(ours, theirs)(ours)
    mean = theirs.mean((0, 2, 3))
    assert torch.allclose(made.mean((0, 2, 3)), mean, atol=0.1)
    assert 0 < made.std() < 0.3 * theirs.std() + mean.std()


def test_fitnet_is_the_formula_and_its_regressor_learns_the_best_fit(maps: Maps) -> None:
    loss = FitNet()
    found = value(loss, maps)
    made = mixed(halved(maps[0].numpy()), loss.regressor)
    assert found == pytest.approx(((made - maps[1].numpy()) ** 2).mean(), rel=1e-5)
    # The teacher's channels by least squares of the student's and a constant.
    given = halved(maps[0].numpy()).transpose(0, 2, 3, 1).reshape(-1, 3)
    given = np.concatenate([given, np.ones((len(given), 1))], 1)
    wanted = maps[1].numpy().transpose(0, 2, 3, 1).reshape(-1, 5)
    weights, *_ = np.linalg.lstsq(given, wanted, rcond=None)
    best = ((given @ weights - wanted) ** 2).mean()
    assert learned(loss, maps, steps=400, lr=1.0) == pytest.approx(best, rel=1e-4)


def test_vid_is_the_formula_and_ends_at_the_mean_squared_errors(maps: Maps) -> None:
    loss = VID()
    found = value(loss, maps)
    mean = mixed(np.maximum(mixed(halved(maps[0].numpy()), loss.mean[0]), 0), loss.mean[2])
    error = (maps[1].numpy() - mean) ** 2
    expected = 0.5 * (error / 5 + np.log(5)).mean()
    assert found == pytest.approx(expected, rel=1e-5)
    # With the variances alone learning, each becomes its channel's error.
    loss.mean.requires_grad_(False)
    by_channel = error.mean((0, 2, 3))
    assert learned(loss, maps, steps=3000, lr=1.0) == pytest.approx(
        0.5 * (1 + np.log(by_channel)).mean(), rel=1e-4
    )
    np.testing.assert_allclose(np.log1p(np.exp(loss.raw.detach().numpy())), by_channel, rtol=1e-2)


def test_mgd_makes_the_teachers_map_of_what_is_not_hidden(maps: Maps) -> None:
    loss = MGD(hidden=0.0)
    found = value(loss, maps)
    with torch.no_grad():
        made = loss.generator(loss.align(level(*maps)[0])).numpy()
    assert found == pytest.approx(((made - maps[1].numpy()) ** 2).sum() / N, rel=1e-5)

    given: list[Tensor] = []
    half = MGD(hidden=0.5)
    value(half, maps)
    half.generator.register_forward_hook(lambda _m, args, _out: given.append(args[0]))
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        value(half, maps, prepare=False)
    hidden = [(x == 0).all((2, 3)) for x in given]
    assert torch.equal(hidden[0], hidden[1])
    assert not torch.equal(hidden[0], hidden[2])
    assert 0.2 < hidden[0].float().mean() < 0.8
    kept = given[0][~hidden[0]]
    assert torch.equal(kept, half.align(level(*maps)[0])[~hidden[0]])


def test_trg_is_the_formula(maps: Maps) -> None:
    loss = TRG(nodes=10, neighbours=3, context=0.5, contrast=0.2)
    torch.manual_seed(3)
    found = value(loss, maps)
    torch.manual_seed(3)
    drawn = torch.randperm(N * 4)[:10].numpy()
    graphs, logs = [], []
    for m in (halved(maps[0].numpy()), maps[1].numpy()):
        rows = m.reshape(N, m.shape[1], 4).transpose(0, 2, 1)
        rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)
        nodes = rows.reshape(-1, m.shape[1])[drawn]
        edges = np.zeros((10, 10))
        for i in range(10):
            likeness = nodes @ nodes[i]
            others = [j for j in np.argsort(-likeness) if j != i][:3]
            edges[i, others] = likeness[others]
        graphs.append(edges)
        mean = rows.mean(1)
        mean = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        logs.append(np.log(softmax((rows * mean[:, None]).sum(2) / 0.2)))
    expected = ((graphs[0] - graphs[1]) ** 2).sum() / 30
    expected += 0.5 * (np.exp(logs[1]) * (logs[1] - logs[0])).sum(1).mean()
    assert found == pytest.approx(expected, rel=1e-4)


def test_trg_is_nothing_for_equal_maps_and_small_graphs_have_all_edges(maps: Maps) -> None:
    torch.manual_seed(0)
    assert value(TRG(), (maps[1], 2 * maps[1])) == pytest.approx(0, abs=1e-9)
    rows = nn.functional.normalize(torch.rand(3, 4), dim=1)
    whole = rows @ rows.T - torch.eye(3)
    assert torch.allclose(graph(rows, 16), whole, atol=1e-6)
    assert torch.allclose(standing_out(rows[None], 0.1).exp().sum(1), torch.ones(1))


def learned(loss: Loss, maps: Maps, steps: int = 100, lr: float = 0.1) -> float:
    taps = [seen(torch.zeros(N, 2), feature_map=m) for m in maps]
    mine = [p for p in loss.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(mine, lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(taps[0], taps[1], None).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return loss(taps[0], taps[1], None).item()
