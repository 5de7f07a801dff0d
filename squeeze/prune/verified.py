"""Keeps the bundles whose removal computes what the masked network computes, and says why the others stay."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.prune.planning import shortest
from squeeze.prune.surgery import cut, silence
from squeeze.prune.units import Bundle, Coupling, Removal, removal

if TYPE_CHECKING:
    from collections.abc import Sequence

_REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
# Of the largest output: far above what another order of additions does, far below what a lost channel does.
TOLERANCE = 1e-4


def verified(module: nn.Module, example: Tensor, found: Coupling) -> Coupling:
    """`found` without the bundles whose removal fails, or differs from the masked network, on random weights."""
    drawn = _with_random_weights(module)
    bundles = [bundle for bundle in found.bundles if shortest(bundle)]
    left = list(found.left)
    if _difference(drawn, example, bundles):
        kept = []
        for bundle in bundles:
            reason = _difference(drawn, example, [bundle])
            if reason:
                left.append((bundle.name, reason))
            else:
                kept.append(bundle)
        bundles = kept
    return Coupling(tuple(bundles), tuple(left))


def difference(module: nn.Module, example: Tensor, gone: Removal) -> tuple[float, float]:
    """(largest absolute difference between the cut and the masked module, largest output). Raises what forward does."""
    pruned, masked = copy.deepcopy(module), copy.deepcopy(module)
    cut(pruned, gone)
    silence(masked, gone)
    with torch.no_grad():
        a, b = pruned(example), masked(example)
    if a.shape != b.shape:
        raise ValueError(f"the output became {tuple(a.shape)}")
    return float((a - b).abs().max()), float(b.abs().max())


def _difference(module: nn.Module, example: Tensor, bundles: Sequence[Bundle]) -> str:
    try:
        apart, largest = difference(
            module, example, removal(u for bundle in bundles for u in shortest(bundle))
        )
    except _REFUSALS as e:
        return f"cannot be followed: {str(e).strip().splitlines()[0][:100] if str(e) else type(e).__name__}"
    if not apart <= TOLERANCE * largest:
        return "cannot be followed: without these channels the output differs from that of the masked network"
    return ""


def _with_random_weights(module: nn.Module) -> nn.Module:
    """A copy whose channels all matter: trained (or empty) ones could hide a mistake."""
    drawn = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in drawn.modules():
            if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                scale = (2 / layer.weight[0].numel()) ** 0.5
                layer.weight.normal_(0, scale, generator=generator)
                if layer.bias is not None:
                    layer.bias.uniform_(-0.2, 0.5, generator=generator)
            elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.affine:
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.2, 0.5, generator=generator)
                if layer.running_mean is not None and layer.running_var is not None:
                    layer.running_mean.normal_(0, 0.1, generator=generator)
                    layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return drawn
