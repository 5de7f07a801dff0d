"""Real numbers of a batch in the type that a training computes in; what counts tokens stays whole."""

from __future__ import annotations

import torch
from torch import Tensor

from squeeze.students.network import Inputs


def cast(x: Inputs, dtype: torch.dtype) -> Inputs:
    """Inputs as a network takes them: real numbers in `dtype`."""
    if isinstance(x, Tensor):
        return x.to(dtype) if x.is_floating_point() else x
    return {n: v.to(dtype) if v.is_floating_point() else v for n, v in x.items()}


def autocast(x: Inputs) -> torch.autocast:
    """Products in bfloat16 for inputs in that."""
    tensors = [x] if isinstance(x, Tensor) else [*x.values()]
    half = any(t.dtype is torch.bfloat16 for t in tensors)
    return torch.autocast(tensors[0].device.type, torch.bfloat16, enabled=half)
