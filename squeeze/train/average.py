"""A moving average of the weights, which is what a short training ends best with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module's parameters and buffers (BatchNorm statistics too).

    `decay` is what a long training uses; early on (1 + t) / (10 + t) is smaller, so that a short one is not stuck at
    its random start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Takes in the weights after step number `step`, the first being 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        current = module.state_dict()
        real = [name for name, value in self.state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in real], [current[n] for n in real], weight)
        for name in self.state.keys() - set(real):
            self.state[name].copy_(current[name])

    def load(self, state: dict[str, Tensor]) -> None:
        """Goes on from a checkpoint."""
        for name, value in self.state.items():
            value.copy_(state[name])
