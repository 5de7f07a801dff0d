"""Uniform levels on scaled buckets: the quantiser of quantised distillation (Polino et al., ICLR 2018, section 2).

Q(u) = round((s - 1) u) / (s - 1) on s levels, or stochastically to one of the two neighbours, with E[Q(u)] = u.

Gradients to the shadow weights: 'straight' passes them on; 'truncated' gives none where |w| > 1; 'exact' also
differentiates alpha and beta of the linear scaling: g_j + (1[j = argmax] - 1[j = argmin]) * sum_i g_i (Q_i - u_i).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from squeeze.train.quantised import grid
from squeeze.train.quantised.scaling import BUCKET, Bucket, Scaling, join, scale

Rounding = Literal["deterministic", "stochastic"]
Gradient = Literal["straight", "truncated", "exact"]


def round_levels(u: Tensor, levels: int, rounding: Rounding = "deterministic") -> Tensor:
    """`u` in [0, 1] on `levels` equally spaced levels."""
    steps = (levels - 1) * u
    if rounding == "deterministic":
        return torch.round(steps) / (levels - 1)
    below = torch.floor(steps)
    return (below + torch.bernoulli(steps - below)) / (levels - 1)


def quantise(
    weight: Tensor,  # [o, ...]
    levels: int,
    *,
    scaling: Scaling = "linear",
    bucket: Bucket = BUCKET,
    rounding: Rounding = "deterministic",
) -> Tensor:
    """The quantised weights, of the shape of `weight`; no gradient.

    With absmax and absnorm the sign is stored apart and the magnitudes have `levels` / 2 levels.
    """
    return join(_rows(weight.detach(), levels, scaling, bucket, rounding)[0], weight)


class Uniform(nn.Module):
    """Uniform levels of `bits` bits. `stochastic` rounding is used in training mode only."""

    def __init__(
        self,
        weight: Tensor,
        bits: int,
        *,
        scaling: Scaling = "linear",
        bucket: Bucket = "channel",
        rounding: Rounding = "deterministic",
        gradient: Gradient = "straight",
    ) -> None:
        super().__init__()
        self.levels = 1 << bits
        self.scaling, self.bucket = scaling, bucket
        self.rounding, self.gradient = rounding, gradient

    def forward(self, weight: Tensor) -> Tensor:
        """[o, ...] -> the same shape, on the levels."""
        rounding: Rounding = self.rounding if self.training else "deterministic"
        found: Tensor = _Quantise.apply(  # type: ignore[no-untyped-call]  # torch has no types there
            weight, self.levels, self.scaling, self.bucket, rounding, self.gradient
        )
        return grid.snap(found, whole=self.bucket != "channel")

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(int8 [o, ...], scale [o]) of what `forward` gives without chance."""
        found = quantise(weight, self.levels, scaling=self.scaling, bucket=self.bucket)
        return grid.integers_of(found, whole=self.bucket != "channel")


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # Any: torch's own
        weight: Tensor,
        levels: int,
        scaling: Scaling,
        bucket: Bucket,
        rounding: Rounding,
        gradient: Gradient,
    ) -> Tensor:
        rows, u, q = _rows(weight, levels, scaling, bucket, rounding)
        ctx.gradient, ctx.bucket, ctx.linear = gradient, bucket, scaling == "linear"
        ctx.save_for_backward(weight, u, q)
        return join(rows, weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # Any: torch's own
        weight, u, q = ctx.saved_tensors
        if ctx.gradient == "truncated":
            g = g * (weight.abs() <= 1)
        elif ctx.gradient == "exact" and ctx.linear:
            g = _exact(g, weight, u, q, ctx.bucket)
        return g, None, None, None, None, None


def _rows(
    weight: Tensor, levels: int, scaling: Scaling, bucket: Bucket, rounding: Rounding
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantised values, scaled ones and their levels, [buckets, k] each."""
    found = scale(weight, scaling, bucket)
    if scaling == "linear":
        q = round_levels(found.u, levels, rounding)
    else:
        magnitudes = max(levels // 2, 2)
        q = found.u.sign() * round_levels(found.u.abs(), magnitudes, rounding)
    return found.alpha * q + found.beta, found.u, q


def _exact(g: Tensor, weight: Tensor, u: Tensor, q: Tensor, bucket: Bucket) -> Tensor:
    """The gradient through alpha and beta too; what fills up the last bucket has none."""
    rows = u.new_zeros(u.numel())
    rows[: g.numel()] = g.reshape(-1)
    rows = rows.reshape(u.shape)
    through = (rows * (q - u)).sum(1, keepdim=True)
    moved = torch.zeros_like(rows)
    moved.scatter_add_(1, u.argmax(1, keepdim=True), through)
    moved.scatter_add_(1, u.argmin(1, keepdim=True), -through)
    return join(rows + moved, weight)
