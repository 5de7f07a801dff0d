"""Grids for the activations of a network in training, from the values that a few batches give."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from squeeze.students.network import Inputs
from squeeze.train.precision import autocast
from squeeze.train.quantised.lsq import LsqActivation
from squeeze.train.quantised.network import QuantNetwork

SHARE = 0.9999
_SAMPLED = 1 << 18


@torch.no_grad()
def prepare(network: QuantNetwork, low: int, high: int) -> None:
    """Puts switched-off quantisers at all activations, so that an optimiser can be made for them."""
    network.quantise_activations(dict.fromkeys(network.plan.roots, (1.0, low)), low, high)
    switch(network, on=False)


def learn_zeros(network: QuantNetwork) -> None:
    """Lets the zero points of values with both signs learn (LSQ+); those at an end of the grid stay there.

    Their gradients become those of an offset in real numbers, divided by the step, so that one rate fits all tensors.
    """
    for quantiser in network.activations.values():
        assert isinstance(quantiser, LsqActivation)
        if quantiser.low < float(quantiser.zero) < quantiser.high:
            quantiser.zero.requires_grad_(True)
            step = quantiser.step
            # torch has no types there.
            quantiser.zero.register_hook(  # type: ignore[no-untyped-call]
                lambda g, s=step: g / s.detach().square().clamp_min(1e-12)
            )


def switch(network: QuantNetwork, *, on: bool) -> None:
    """Switches the quantisers of the activations."""
    for quantiser in network.activations.values():
        quantiser.enabled = on  # type: ignore[assignment]


@torch.no_grad()
def calibrate(network: QuantNetwork, batches: Iterable[Inputs], low: int, high: int) -> None:
    """Gives each quantiser the range of its values without the outermost 0.01 % of each side, averaged over batches."""
    was = network.training
    network.eval()
    switch(network, on=False)
    sums: dict[str, Tensor] = {}
    count = 0
    for x in batches:
        with autocast(x):
            values = network.values(x, kept=network.plan.roots)
        for root in network.plan.roots:
            ends = _ends(values[root].float())
            sums[root] = sums[root] + ends if root in sums else ends
        count += 1
    for root, ends in sums.items():
        least, most = (float(v) / count for v in ends)
        least, most = min(least, 0.0), max(most, 0.0)
        step = max((most - least) / (high - low), 1e-8)
        quantiser = network.activations[network._keys[root]]
        assert isinstance(quantiser, LsqActivation)
        quantiser.step.fill_(step)
        quantiser.zero.fill_(float(min(max(round(low - least / step), low), high)))
    switch(network, on=True)
    network.train(was)


def _ends(values: Tensor) -> Tensor:
    """[2]: the value that all but a share lie above, and the one that all but a share lie below."""
    flat = values.reshape(-1)
    if flat.numel() > _SAMPLED:
        flat = flat[:: -(-flat.numel() // _SAMPLED)]
    ordered = flat.sort().values
    last = ordered.numel() - 1
    ends = torch.stack([ordered[round((1 - SHARE) * last)], ordered[round(SHARE * last)]])
    # A tensor behind a Relu begins at 0 whatever its quantiles are.
    return torch.where(torch.tensor([bool(ordered[0] >= 0), False], device=ends.device), 0.0, ends)
