"""Differentiable quantisation: learned quantisation points (Polino et al., ICLR 2018, section 3).

v_i = alpha_i * p[a(i)] + beta_i with a(i) the nearest of the s sorted points p; the points get the exact gradient
dL/dp_j = sum of alpha_i dL/dv_i over the weights that are at p_j, the weights that of straight-through rounding.
The points begin where the squared error of the scaled weights is least, and are sorted after each step. With `linear`
scaling they lie in [0, 1], with `absmax` and `absnorm` on both sides of 0, where one codebook of the layer serves all
channels of a file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from squeeze.train.quantised import grid
from squeeze.train.quantised.scaling import Bucket, Scaling, join, scale


def centred_points(u: Tensor, levels: int, rounds: int = 30) -> Tensor:
    """The quantiles of the middles of `levels` equal shares, then Lloyd's rounds: the points of least squared error."""
    ordered = u.detach().reshape(-1).double().sort().values
    at = (torch.arange(levels, dtype=torch.float64, device=u.device) + 0.5) / levels
    points = ordered[(at * (ordered.numel() - 1)).round().long()]
    for _ in range(rounds):
        index = nearest(ordered, points)
        sums = torch.zeros_like(points).scatter_add_(0, index, ordered)
        counts = torch.zeros_like(points).scatter_add_(0, index, torch.ones_like(ordered))
        points = torch.where(counts > 0, sums / counts.clamp_min(1), points).sort().values
    return points.float()


def nearest(u: Tensor, points: Tensor) -> Tensor:
    """The number of the nearest of the sorted `points` [s] for each of `u`, by the midpoints between them."""
    return torch.bucketize(u, (points[1:] + points[:-1]) / 2)


class Codebook(nn.Module):
    """2^bits learned points for a weight tensor, shared by its buckets."""

    def __init__(
        self,
        weight: Tensor,
        bits: int,
        *,
        levels: int | None = None,
        scaling: Scaling = "absnorm",
        bucket: Bucket = "channel",
    ) -> None:
        super().__init__()
        self.levels = levels or 1 << bits
        self.scaling, self.bucket = scaling, bucket
        u = scale(weight.detach(), scaling, bucket).u
        self.points = nn.Parameter(centred_points(u, self.levels))

    def forward(self, weight: Tensor) -> Tensor:
        """[o, ...] -> the same shape, at the points."""
        found = scale(weight.detach(), self.scaling, self.bucket)
        points = self._on_grid()
        values = found.alpha * points[nearest(found.u, points.detach())] + found.beta
        quantised = join(values, weight)
        # Value and gradient of the points come from `quantised`, the weights are passed straight through.
        passed = quantised + (weight - weight.detach())
        return passed if self._shared else grid.snap(passed, whole=self.bucket != "channel")

    @torch.no_grad()
    def sort(self) -> None:
        """Puts the points into order again; called after each step of the optimiser."""
        self.points.copy_(self.points.sort().values)

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(int8 [o, ...], scale [o]) of what `forward` gives."""
        if not self._shared:
            return grid.integers_of(self.forward(weight), whole=self.bucket != "channel")
        found = scale(weight, self.scaling, self.bucket)
        points = self._on_grid()
        whole = torch.round(points / self._step())[nearest(found.u, points)]
        return join(whole, weight), (found.alpha.reshape(-1) * self._step()).expand(len(weight))

    @property
    def _shared(self) -> bool:
        """Whether a channel's values are its scale times the points, so that one codebook serves the layer."""
        return self.scaling != "linear" and self.bucket in ("channel", "tensor")

    def _step(self) -> Tensor:
        return (self.points.detach().abs().amax() / grid.LIMIT).clamp_min(1e-12)

    def _on_grid(self) -> Tensor:
        if not self._shared:
            return self.points
        step = self._step()
        return self.points + (
            torch.round(self.points.detach() / step) * step - self.points.detach()
        )


def sort_points(module: nn.Module) -> None:
    """Sorts the points of every codebook in `module`."""
    for part in module.modules():
        if isinstance(part, Codebook):
            part.sort()
