"""Statistics of batch normalisation taken anew: what a network needs whose weights, or channels, are others by now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from squeeze.students.network import Inputs

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_MOMENTUM = 0.1


@torch.no_grad()
def estimate(module: nn.Module, norms: Iterable[Any], batches: Iterable[Inputs]) -> None:
    """Gives `norms`, layers of `module`, plain averages over `batches`; the mode of `module` stays."""
    norms = list(norms)
    if not norms:
        return
    was = module.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    for x in batches:
        module(x)
    for norm in norms:
        norm.momentum = _MOMENTUM
    module.train(was)
