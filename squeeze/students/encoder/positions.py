"""Which rows of their tables tokens have: by their places, counted from padding, and relative to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def token_places(ids: Tensor, pad: int | None) -> Tensor:
    """[s] without `pad`; with it [n, s], where padding has 0 and the first token 1."""
    if pad is None:
        return torch.arange(ids.shape[1], device=ids.device)
    there = (ids != pad).to(torch.int64)
    return there.cumsum(1) * there


def relations(x: Tensor, distances: Sequence[int]) -> Tensor:
    """The row of each pair of tokens of `x`, [n, s, ...]: [s, s], that of a token itself 0."""
    reach = distances[-1]
    far = torch.arange(-reach, reach + 1)
    kinds = torch.bucketize(far.abs(), torch.tensor(distances), right=True)
    # A list, so that what is exported has the rows and not how they were made.
    rows = (kinds + (far > 0) * (len(distances) + 1)).tolist()
    place = torch.arange(x.shape[1], device=x.device)
    away = (place[None, :] - place[:, None]).clamp(-reach, reach) + reach
    found = torch.tensor(rows, device=x.device).index_select(0, away.flatten())
    return found.reshape(away.shape)
