"""Importances against numbers worked out by hand, and the loss that pruning really costs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.errors import ConfigError
from squeeze.prune import IMPORTANCES, Bundle, Samples, Unit, importance
from squeeze.prune.importances import bn
from squeeze.prune.importances.taylor import changes
from tests.prune.zoo import imported, made


def two_layers() -> tuple[nn.Sequential, Bundle]:
    """[n, 2] -> 3 hidden -> 2, and the bundle of its hidden units."""
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]))
        module[2].weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [1.0, 4.0, 0.0]]))
        module[0].bias.fill_(0.1)
        module[2].bias.zero_()
    units = [Unit(((("0", "out"), (i,)), (("2", "in"), (i,)))) for i in range(3)]
    return module, Bundle("0", tuple(units))


def test_l2_equals_the_hand_count_when_two_layers() -> None:
    module, bundle = two_layers()
    (found,) = importance("l2")(module, [bundle], []).values
    # Rows 5, 1, 9 of mean 5; columns 2, 16, 4 of mean 22 / 3; then the mean of both.
    wanted = [(5 / 5 + 2 * 3 / 22) / 2, (1 / 5 + 16 * 3 / 22) / 2, (9 / 5 + 4 * 3 / 22) / 2]
    assert found == pytest.approx(wanted)
    assert found.mean() == pytest.approx(1)


def test_l2_counts_each_group_when_convolutions_are_grouped() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, groups=2, bias=False))
    with torch.no_grad():
        module[0].weight.fill_(1)
        # Outputs 0, 1 take inputs 0, 1; outputs 2, 3 take inputs 2, 3.
        module[1].weight.copy_(
            torch.tensor([[1, 2], [1, 0], [3, 0], [0, 1]]).float()[..., None, None]
        )
    units = [Unit(((("0", "out"), (i,)), (("1", "in"), (i,)))) for i in range(4)]
    (found,) = importance("l2")(module, [Bundle("0", tuple(units), 2, 2)], []).values
    assert found == pytest.approx([(1 + c / 4) / 2 for c in (2, 4, 9, 1)])


def test_bn_is_the_mean_absolute_scale_when_two_norms() -> None:
    module = nn.ModuleList([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([-1.0, 2.0]))
        module[1].weight.copy_(torch.tensor([3.0, 0.0]))
    units = [Unit(((("0", "out"), (i,)), (("1", "out"), (i,)))) for i in range(2)]
    (found,) = bn.score(module, [Bundle("0", tuple(units))]).values
    assert found.tolist() == [2.0, 1.0]


def test_bn_finds_the_scales_when_they_are_folded_into_the_layers() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8 * 4 * 4, 16), nn.BatchNorm1d(16, momentum=None), nn.ReLU()),
        nn.Linear(16, 4),
    )
    x = torch.randn(512, 3, 6, 6) * 2 + 1
    with torch.no_grad():
        for i in (1, 5):
            module[i].weight.uniform_(-2, 2)
            module[i].bias.uniform_(-1, 1)
        module(x)  # the statistics of this data
    module.eval()
    network = imported(module, x)
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in network.modules())
    names = [n for n, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))][:2]
    bundles = [
        Bundle(name, tuple(Unit((((name, "out"), (i,)),)) for i in range(count)))
        for name, count in zip(names, (8, 16), strict=True)
    ]
    found = bn.score(network, bundles, [Samples(x[:100]), Samples(x[100:])]).values
    for scales, norm in zip(found, (module[1], module[5]), strict=True):
        assert scales == pytest.approx(norm.weight.detach().abs().numpy(), rel=1e-2, abs=1e-3)


def test_bn_asks_for_samples_when_there_is_no_normalisation() -> None:
    module, bundle = two_layers()
    with pytest.raises(ConfigError, match="'bn' needs samples"):
        bn.score(module, [bundle])


def test_taylor_takes_yes_and_no_when_there_is_one_output() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(2.0)
    bundle = Bundle("", (Unit((((("", "in"), (0,))),)),))
    batches = [Samples(torch.ones(1, 1), torch.tensor([t])) for t in (0, 1)]
    (found,) = importance("taylor")(module, [bundle], batches).values
    # d/dw of cross-entropy is sigmoid(w) - t, times w.
    yes = 1 / (1 + np.exp(-2.0))
    assert found == pytest.approx([2 * ((yes**2 + (1 - yes) ** 2) / 2) ** 0.5])


def test_changes_are_the_derivative_of_the_loss_when_a_unit_fades() -> None:
    module, bundle = two_layers()
    x, labels = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])

    def loss(logits: Tensor, batch: Samples) -> Tensor:
        return functional.cross_entropy(logits, labels)

    (found,) = changes(module, [bundle], [Samples(x)], loss)
    for i in range(3):
        losses = []
        for share in (1 + 1e-5, 1 - 1e-5):
            faded = copy.deepcopy(module).double()
            with torch.no_grad():
                faded[2].weight[:, i] *= share
            losses.append(functional.cross_entropy(faded(x.double()), labels).item())
        assert found[0, i] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-5)


def test_taylor_is_the_root_of_the_mean_square_when_two_batches() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(2.0)
    bundle = Bundle("", (Unit((((("", "in"), (0,))),)),))
    batches = [Samples(torch.ones(1, 1), torch.full((1, 1), t)) for t in (1.0, 4.0)]
    (found,) = importance("taylor")(module, [bundle], batches).values
    # d/dw (w - t)^2 * w = 2 (w - t) w: 4 and -8; the sign does not matter.
    assert found == pytest.approx([((16 + 64) / 2) ** 0.5])


def test_distillation_is_the_curvature_when_the_module_is_the_teacher() -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 4, bias=False).double()
    x = torch.randn(64, 3, dtype=torch.float64)
    with torch.no_grad():
        batches = [Samples(x, None, module(x))] * 100
    bundle = Bundle("", tuple(Unit(((("", "in"), (i,)),)) for i in range(3)))
    (found,) = importance("distillation")(module, [bundle], batches).values
    # Half of d^T (diag(q) - q q^T) d at temperature 4, d the logits that a column makes; the mean over samples.
    with torch.no_grad():
        q = torch.softmax(module(x) / 4, 1).numpy()
        d = x.numpy()[:, :, None] * module.weight.numpy().T[None]
    exact = 0.5 * ((q[:, None] * d**2).sum(2) - (q[:, None] * d).sum(2) ** 2).mean(0)
    assert found == pytest.approx(exact, rel=0.25)


def test_distillation_follows_the_slope_when_the_module_is_not_the_teacher() -> None:
    module, bundle = two_layers()
    x = torch.randn(16, 2)
    with torch.no_grad():
        near, far = module(x) + 0.01, module(x) + torch.tensor([5.0, 0.0])
    score = importance("distillation")
    (close,) = score(module, [bundle], [Samples(x, None, near)]).values
    (away,) = score(module, [bundle], [Samples(x, None, far)]).values
    assert (away > close).all()


@pytest.mark.parametrize("name", IMPORTANCES)
def test_module_is_as_before_when_scored(name: str) -> None:
    module, x = made("residual")
    module.train()
    module.stem.requires_grad_(False)
    module.head.fc.weight.grad = torch.ones_like(module.head.fc.weight)
    before = copy.deepcopy(module.state_dict())
    state = torch.get_rng_state()
    units = tuple(Unit(((("a1.1", "out"), (i,)), (("a2.0", "in"), (i,)))) for i in range(24))
    batches = [Samples(x, torch.tensor([0, 1, 2]), torch.zeros(3, 10))]
    found = importance(name)(module, [Bundle("a1.0", units)], batches)
    assert len(found.values[0]) == 24
    assert np.isfinite(found.values[0]).all()
    assert module.training
    assert not module.stem[0].weight.requires_grad
    assert torch.equal(module.head.fc.weight.grad, torch.ones_like(module.head.fc.weight))
    assert module.a1[0].weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("name", ["distillation", "taylor"])
def test_refused_when_there_are_no_samples_or_targets(name: str) -> None:
    module, bundle = two_layers()
    with pytest.raises(ConfigError, match="needs samples"):
        importance(name)(module, [bundle], [])
    with pytest.raises(ConfigError, match=r"needs (labels|the teacher's logits)"):
        importance(name)(module, [bundle], [Samples(torch.randn(2, 2))])


def test_refused_when_the_name_is_unknown() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'taylor'"):
        importance("tailor")
