"""A moving average of the weights, which is what a short training ends best with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module's parameters and buffers (BatchNorm statistics too), which stay the same
    tensors.

    `decay` is what a long training uses; early on (1 + t) / (10 + t) is smaller, so that a short one is not stuck at
    its random start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        followed = module.state_dict()
        self.state = {name: value.detach().clone() for name, value in followed.items()}
        # Pairs of an average and what it follows; a training changes tensors where they lie.
        pairs = [(self.state[name], value.detach()) for name, value in followed.items()]
        self._real = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after step number `step`, the first being 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averages, current = zip(*self._real, strict=True)
        torch._foreach_lerp_(averages, current, weight)
        for count, now in self._counts:
            count.copy_(now)

    def load(self, state: dict[str, Tensor]) -> None:
        """Goes on from a checkpoint."""
        for name, value in self.state.items():
            value.copy_(state[name])
