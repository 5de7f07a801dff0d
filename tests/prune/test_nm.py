"""N:M masks are exact, SR-STE pulls what is masked to zero, and no target takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.prune.nm import check_target, nm_mask, sr_ste
from squeeze.spec import Target


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (4, 8)])
@pytest.mark.parametrize("shape", [(6, 16), (4, 8, 3, 3), (5, 8, 7)])
def test_each_group_keeps_its_largest_when_masked(n: int, m: int, shape: tuple[int, ...]) -> None:
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))
    mask = nm_mask(weight, n, m)
    # NumPy on rows along the input channels.
    groups = np.moveaxis(weight.numpy(), 1, -1).reshape(-1, m)
    kept = np.moveaxis(mask.numpy(), 1, -1).reshape(-1, m)
    assert (kept.sum(1) == n).all()
    threshold = np.sort(np.abs(groups), 1)[:, m - n]
    assert (kept == (np.abs(groups) >= threshold[:, None])).all()


def test_first_ones_stay_when_equal() -> None:
    assert nm_mask(torch.ones(1, 4), 2, 4).tolist() == [[1, 1, 0, 0]]
    assert nm_mask(torch.zeros(1, 8), 1, 4).tolist() == [[1, 0, 0, 0, 1, 0, 0, 0]]


def test_gradient_decays_what_is_masked_when_backward() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, -1.0, 0.5, -2.0]]))
    masked = sr_ste(weight, 2, 4, 0.1)
    assert masked.tolist() == [[3, 0, 0, -2]]
    (masked * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    # g + 0.1 * (1 - mask) * w, g straight through.
    assert torch.allclose(weight.grad, torch.tensor([[1.0, 2 - 0.1, 3 + 0.05, 4.0]]))


def test_masked_weights_decay_geometrically_when_the_gradient_is_zero() -> None:
    weight = nn.Parameter(torch.randn(8, 16, dtype=torch.float64))
    start, mask = weight.detach().clone(), nm_mask(weight, 2, 4)
    optimiser = torch.optim.SGD([weight], lr=0.5)
    for _ in range(50):
        optimiser.zero_grad()
        (sr_ste(weight, 2, 4) * 0).sum().backward()
        optimiser.step()
    shares = weight.detach() / start
    assert torch.allclose(shares[mask == 1], torch.ones(()).double())
    assert torch.allclose(shares[mask == 0], torch.tensor((1 - 0.5 * 2e-4) ** 50).double())


@pytest.mark.parametrize(
    ("shape", "n", "m", "message"),
    [((4, 6), 2, 4, "multiple of 4"), ((4, 8), 5, 4, "N of 1 to M"), ((8,), 2, 4, "shape")],
)
def test_mask_refused_when_it_does_not_fit(
    shape: tuple[int, ...], n: int, m: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        nm_mask(torch.ones(shape), n, m)


def test_every_target_refuses_when_asked_for_sparsity() -> None:
    target = Target(schema=1, name="host", summary="this machine")
    with pytest.raises(UnsupportedError, match=r"2:4 sparsity: target 'host' has no kernel"):
        check_target(target, 2, 4)
