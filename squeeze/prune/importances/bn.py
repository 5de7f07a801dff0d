"""Batch normalisation's scales (Liu et al., "Learning Efficient Convolutional Networks through Network Slimming",
ICCV 2017), and the penalty that makes them sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.errors import UnsupportedError
from squeeze.prune.importances.channels import channels
from squeeze.prune.units import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from squeeze.prune.units import Batch, Block

_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)


def score(
    module: nn.Module,
    blocks: Sequence[Block],
    batches: Sequence[Batch] = (),
    loss: nn.Module | None = None,
) -> Scores:
    """|gamma| of the channel, the mean over the normalisations of the block; blocks without one stay whole.

    Scales of all layers compare as they are. Raises UnsupportedError when there is no batch normalisation at all.
    """
    values = tuple(_block(module, block) for block in blocks)
    if blocks and all(v is None for v in values):
        raise UnsupportedError(
            "pruning: importance 'bn' needs batch normalisation, and this network has none (it may be folded into the"
            " convolutions); use 'l2' or 'distillation'"
        )
    return Scores(values)


def penalty(module: nn.Module, weight: float = 1e-4) -> Tensor:
    """weight * sum |gamma| over all batch normalisations, to be added to the loss before pruning."""
    scales = [m.weight.abs().sum() for m in module.modules() if isinstance(m, _NORM) and m.affine]
    return weight * torch.stack(scales).sum() if scales else torch.zeros(())


def _block(module: nn.Module, block: Block) -> NDArray[np.float64] | None:
    found = []
    layers = dict(module.named_modules())
    for place in block.places:
        if isinstance(layers.get(place[0]), _NORM):
            scales = channels(module, place, torch.abs)
            if scales is not None:
                members = block.members(place)
                found.append([scales[list(m)].sum() if m else np.nan for m in members])
    return np.nanmean(np.array(found), axis=0) if found else None
