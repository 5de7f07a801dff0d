"""Ternary and binary weights: TWN (Li et al., 2016), TTQ (Zhu et al., ICLR 2017), BWN (Rastegari et al., 2016)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from squeeze.train.quantised import grid

_TWN_THRESHOLD = 0.7  # of the mean magnitude
_TTQ_THRESHOLD = 0.05  # of the largest magnitude


class Ternary(nn.Module):
    """{-a_n, 0, a_p}. `learned`: TTQ, one a_n and a_p for the tensor, with the gradients summed over their sets;
    else TWN, a = the mean of the magnitudes above the threshold, per output channel."""

    def __init__(self, weight: Tensor, bits: int = 2, *, learned: bool = False) -> None:
        super().__init__()
        self.learned = learned
        rows = weight.detach().reshape(-1)
        if learned:
            threshold = _TTQ_THRESHOLD * rows.abs().amax()
            positive, negative = rows[rows > threshold], -rows[rows < -threshold]
            self.positive = nn.Parameter(positive.mean() if len(positive) else rows.new_ones(()))
            self.negative = nn.Parameter(negative.mean() if len(negative) else rows.new_ones(()))

    def forward(self, weight: Tensor) -> Tensor:
        """[o, ...] -> the same shape, of three values; the gradient to the weights passes straight through."""
        plain = weight.detach()
        if self.learned:
            threshold = _TTQ_THRESHOLD * plain.abs().amax()
            above, below = (plain > threshold).to(plain.dtype), (plain < -threshold).to(plain.dtype)
            quantised = self.positive.clamp_min(0) * above - self.negative.clamp_min(0) * below
            return grid.snap(quantised + (weight - plain))
        signs, alpha = _twn(plain)
        return signs * alpha + (weight - plain)

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(int8 [o, ...], scale [o]) of what `forward` gives."""
        if self.learned:
            return grid.integers_of(self.forward(weight))
        signs, alpha = _twn(weight)
        return signs, alpha.reshape(-1).clamp_min(1e-12)


class Binary(nn.Module):
    """mean |w| * sign(w) per output channel, the least squares optimum; no gradient where |w| > 1."""

    def __init__(self, weight: Tensor, bits: int = 1) -> None:
        super().__init__()

    def forward(self, weight: Tensor) -> Tensor:
        """[o, ...] -> the same shape, of two values per channel."""
        found: Tensor = _Binarise.apply(weight)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(int8 [o, ...], scale [o]) of what `forward` gives."""
        signs, alpha = _binary(weight)
        return signs, alpha.reshape(-1).clamp_min(1e-12)


class _Binarise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:  # Any: torch's own
        ctx.save_for_backward(weight)
        signs, alpha = _binary(weight)
        return signs * alpha

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # Any: torch's own
        weight: Tensor = ctx.saved_tensors[0]
        return g * (weight.abs() <= 1)


def _twn(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Signs [o, ...] and the magnitude of each channel [o, 1, ...]."""
    rows = weight.reshape(len(weight), -1)
    magnitude = rows.abs()
    kept = magnitude > _TWN_THRESHOLD * magnitude.mean(1, keepdim=True)
    alpha = (magnitude * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True).clamp_min(1)
    wide = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return (rows.sign() * kept).reshape(weight.shape), wide


def _binary(weight: Tensor) -> tuple[Tensor, Tensor]:
    rows = weight.reshape(len(weight), -1)
    signs = torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)
    return signs, rows.abs().mean(1).reshape(-1, *[1] * (weight.ndim - 1))
