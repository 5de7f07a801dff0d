"""A module lent to a proxy: whatever forward and backward passes do to it is undone afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@contextmanager
def untouched(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Puts `module` into train or eval mode; at the end mode, buffers, gradients and random state are as before.

    Batch normalisation in train mode uses the batch's own statistics, which an untrained network needs.
    """
    modes = [(m, m.training) for m in module.modules()]
    buffers = [(b, b.clone()) for b in module.buffers()]
    gradients = [(p, p.grad) for p in module.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    random = torch.get_rng_state()
    module.train(training)
    try:
        yield
    finally:
        torch.set_rng_state(random)
        for m, mode in modes:
            m.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, gradient in gradients:
            parameter.grad = gradient
