"""The information that a part of a network and its teacher share, as a term of what parts learn.

MI-alpha between layers (He et al., "Distiller: A Systematic Study of Model Distillation Methods in Natural Language
Processing", 2021): the samples of a batch are told apart by the states of one network from those of the other. One
critic serves all parts: a narrower one has the first columns of its layer, as of everything else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.mi_alpha import information

_WIDTH = 128
_CONTRAST = 0.1
_DEVIATION = 0.02


class Critic(nn.Module):
    """Minus the bound of `information`, of the means of states over the tokens that count, by a matrix each to 128
    numbers and to length 1, over 0.1. student, teacher: widths of states. alpha: as `losses.MIAlpha` has it."""

    def __init__(self, student: int, teacher: int, alpha: float, seed: int) -> None:
        super().__init__()
        self.alpha = alpha
        draws = torch.Generator().manual_seed(seed)
        ours, theirs = (
            torch.randn(_WIDTH, width, generator=draws) * _DEVIATION for width in (student, teacher)
        )
        self.ours, self.theirs = nn.Parameter(ours), nn.Parameter(theirs)
        self.log_q = nn.Parameter(torch.zeros(()))

    def forward(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """student: [n, s, h], h as its layer has columns or fewer; teacher: [n, s, H], no gradient; mask: [n, s]."""
        ours = _mean(student, mask) @ self.ours[:, : student.shape[-1]].T
        theirs = _mean(teacher.detach(), mask) @ self.theirs.T
        s, t = (functional.normalize(x, dim=1) for x in (ours, theirs))
        return -information(s @ t.T / _CONTRAST, self.alpha, self.log_q)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    counted = mask[:, :, None]
    return (states.float() * counted).sum(1) / counted.sum(1)
