"""Every quantiser as a file holds it: integers within +-63 times a scale per channel, of few values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from squeeze.train.quantised import QUANTISERS, Binary, Codebook, LsqWeight, Ternary, Uniform
from squeeze.train.quantised.grid import LIMIT
from squeeze.train.quantised.scaling import cut

Made = Callable[[Tensor, int], nn.Module]
SCALINGS = ("linear", "absmax", "absnorm")
BUCKETS = ("channel", "tensor", 10, 256)


def uniform(scaling: str, bucket: str | int) -> Made:
    return lambda w, bits: Uniform(w, bits, scaling=scaling, bucket=bucket)


def codebook(scaling: str, bucket: str | int) -> Made:
    return lambda w, bits: Codebook(w, bits, scaling=scaling, bucket=bucket)


# name -> how it is made, and whose few values it has: those of "channel", "tensor" or buckets.
KINDS: dict[str, tuple[Made, str | int]] = {
    "lsq": (LsqWeight, "tensor"),
    **{f"uniform-{s}-{b}": (uniform(s, b), b) for s in SCALINGS for b in BUCKETS},
    **{f"codebook-linear-{b}": (codebook("linear", b), b) for b in BUCKETS},
    **{
        f"codebook-{s}-{b}": (codebook(s, b), "tensor" if isinstance(b, str) else b)
        for s in SCALINGS[1:]
        for b in BUCKETS
    },
}
WEIGHTS = {
    "conv": (6, 3, 3, 3),
    "depthwise": (7, 1, 5, 5),
    "linear": (5, 60),
    "signal": (6, 4, 3),
}


def weights(name: str) -> Tensor:
    """Channels of different sizes, one of zeros."""
    rng = np.random.default_rng(0)
    values = rng.standard_t(4, WEIGHTS[name])
    values *= rng.uniform(0.1, 3, (len(values), *[1] * (values.ndim - 1)))
    values[2] = 0
    return torch.from_numpy(values.astype(np.float32))


def check(module: nn.Module, weight: Tensor) -> Tensor:
    """The integers, which times their scales have to be what the module gives."""
    integers, scale = module.integers(weight)
    wide = scale.reshape(-1, *[1] * (weight.ndim - 1))
    found = module.eval()(weight).detach()
    np.testing.assert_allclose(integers * wide, found, atol=2e-6 * float(found.abs().amax()))
    assert torch.equal(integers, integers.round())
    assert integers.shape == weight.shape
    assert scale.shape == (len(weight),)
    assert (scale > 0).all()
    assert integers.abs().amax() <= LIMIT
    return integers


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_integers_are_what_forward_gives_in_few_values(kind: str, bits: int) -> None:
    made, book = KINDS[kind]
    for name in WEIGHTS:
        weight = weights(name)
        integers = check(made(weight, bits), weight)
        if bits <= 4:
            assert max(len(row.unique()) for row in cut(integers, book)) <= 1 << bits, name


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_integers_after_the_weights_have_moved(kind: str, bits: int) -> None:
    made, book = KINDS[kind]
    weight = weights("conv")
    module = made(weight, bits)
    moved = weight + 0.1 * torch.from_numpy(
        np.random.default_rng(1).normal(size=weight.shape).astype(np.float32)
    )
    integers = check(module, moved)
    assert max(len(row.unique()) for row in cut(integers, book)) <= 1 << bits


@pytest.mark.parametrize("name", WEIGHTS)
def test_integers_of_two_and_three_values(name: str) -> None:
    weight = weights(name)
    assert set(check(Binary(weight), weight).unique().tolist()) == {-1, 1}
    assert set(check(Ternary(weight), weight).unique().tolist()) == {-1, 0, 1}
    learned = check(Ternary(weight, learned=True), weight)
    assert max(len(row.unique()) for row in cut(learned, "channel")) <= 3


@pytest.mark.parametrize("name", QUANTISERS)
def test_every_quantiser_of_the_table_is_made_from_weights_and_bits(name: str) -> None:
    weight = weights("conv")
    assert len(check(QUANTISERS[name](weight, 2), weight).unique()) <= 4 or name == "uniform"


@pytest.mark.parametrize("name", QUANTISERS)
def test_every_quantiser_of_the_table_lets_gradients_through(name: str) -> None:
    leaf = weights("conv").requires_grad_()
    module = QUANTISERS[name](leaf, 2)
    module(leaf).square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    for learned in module.parameters():
        assert learned.grad is not None
        assert learned.grad.isfinite().all()
