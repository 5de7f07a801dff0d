"""The last step of every quantiser: its values on the 8-bit grid that an exported file holds them on.

A file stores a weight as int8 times a scale for its output channel. Levels stay within +-63, so that x86 CPUs without
VNNI, which add two products in 16 bits, cannot saturate.
"""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 63
_LEAST_SCALE = 1e-12


def snap(quantised: Tensor, *, whole: bool = False) -> Tensor:
    """`quantised` [o, ...] rounded to the grid of its channels; the gradient passes straight through."""
    integers, scale = integers_of(quantised.detach(), whole=whole)
    wide = scale.reshape(-1, *[1] * (quantised.ndim - 1))
    return quantised + (integers * wide - quantised.detach())


def integers_of(quantised: Tensor, *, whole: bool = False) -> tuple[Tensor, Tensor]:
    """(whole numbers [o, ...] as floats, scales [o]) of values that a quantiser made.

    whole: one scale for the tensor, so that buckets which cut across channels keep their few levels.
    """
    rows = quantised.reshape(1 if whole else len(quantised), -1)
    scale = (rows.abs().amax(1) / LIMIT).clamp_min(_LEAST_SCALE).expand(len(quantised))
    wide = scale.reshape(-1, *[1] * (quantised.ndim - 1))
    return torch.round(quantised / wide), scale
