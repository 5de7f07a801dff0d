"""The torch module between a map and the layers of a transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_DEVIATION = 0.02  # of untrained positions (Dosovitskiy et al. 2021)


class Positions(nn.Module):
    """[n, d, ...] -> [n, s, d]: class tokens, then the places of the map, each with a row that is learned.

    A class token is its position alone.
    """

    def __init__(self, tokens: int, channels: int, class_tokens: int) -> None:
        super().__init__()
        self.class_tokens = class_tokens
        self.position = nn.Parameter(torch.empty(tokens, channels))

    def reset(self, generator: torch.Generator) -> None:
        """Draws the rows."""
        with torch.no_grad():
            self.position.normal_(0, _DEVIATION, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """See above."""
        places = x.flatten(2).transpose(1, 2)
        if self.class_tokens:
            places = functional.pad(places, (0, 0, self.class_tokens, 0))
        return places + self.position
