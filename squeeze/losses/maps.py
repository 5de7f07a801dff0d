"""Feature maps of two networks, whose sizes differ, in one shape. A map is [n, c, h, w], [n, c, t], or [n, c] where a
network has no places."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_FAINT = 0.1
_CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def level(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 with as many places as the smaller has along each axis, by averages; with one place, [n, c, 1],
    where they have not the same axes."""
    a, b = (x.float() if x.ndim > 2 else x.float().unsqueeze(2) for x in (one, other))
    if a.ndim != b.ndim:
        return tuple(x.flatten(2).mean(2, keepdim=True) for x in (a, b))  # type: ignore[return-value]
    sizes = [min(s, t) for s, t in zip(a.shape[2:], b.shape[2:], strict=True)]
    return _pooled(a, sizes), _pooled(b, sizes)


def convolution(
    given: Tensor, outputs: int, kernel: int = 1, groups: int = 1
) -> nn.Conv1d | nn.Conv2d:
    """One over the places of a map like `given`, which keeps their number."""
    made = _CONVOLUTIONS[given.ndim - 2]
    return made(given.shape[1], outputs, kernel, padding=kernel // 2, groups=groups)


def regression(given: Tensor, wanted: Tensor, kernel: int = 1) -> nn.Conv1d | nn.Conv2d:
    """A convolution from maps like `given` to maps like `wanted` [n, c, ...], which begins near their mean.

    With weights as large as usual the student learns first to be silent, since what they make of it is wrong, and then
    its features are gone.
    """
    made = convolution(given, wanted.shape[1], kernel)
    with torch.no_grad():
        made.weight.mul_(_FAINT)
        assert made.bias is not None
        made.bias.copy_(wanted.transpose(0, 1).flatten(1).mean(1))
    return made


def _pooled(x: Tensor, sizes: list[int]) -> Tensor:
    if list(x.shape[2:]) == sizes:
        return x
    if x.ndim == 3:
        return functional.adaptive_avg_pool1d(x, sizes[0])
    return functional.adaptive_avg_pool2d(x, (sizes[0], sizes[1]))
