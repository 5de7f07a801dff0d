"""Learned step sizes: LSQ (Esser et al., ICLR 2020) for weights, LSQ and LSQ+ (Bhalgat et al., 2020) for activations.

Inside the grid the gradient of the step is round(v / s) - v / s, outside it is the limit of the grid, and the value
gets no gradient; the zero point of LSQ+ gets -s times the gradient outside. All are scaled by 1 / sqrt(n * q_p).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.train.compute import HOST
from squeeze.train.quantised import fused, grid


class LsqWeight(nn.Module):
    """A signed grid of `bits` bits with a learned step for each output channel; of 8 bits, 7 are used.

    -2^(b-1) .. 2^(b-1) - 1, but +-63 for 8 bits: see `grid`.
    """

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self.low = max(-(1 << (bits - 1)), -grid.LIMIT)
        self.high = min((1 << (bits - 1)) - 1, grid.LIMIT)
        rows = weight.detach().reshape(len(weight), -1)
        self.gain = (rows.shape[1] * self.high) ** -0.5
        self.step = nn.Parameter(_best_steps(rows, self.low, self.high))

    def forward(self, weight: Tensor) -> Tensor:
        """[o, ...] -> the same shape, on the grid."""
        step = self._wide(weight)
        found: Tensor = _Lsq.apply(weight, step, None, self.low, self.high, self.gain)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(int8 [o, ...], scale [o]) of what `forward` gives."""
        whole = torch.round(weight / self._wide(weight)).clamp(self.low, self.high)
        return whole, self.step.clamp_min(1e-12)

    def _wide(self, weight: Tensor) -> Tensor:
        return self.step.clamp_min(1e-12).reshape(-1, *[1] * (weight.ndim - 1))


class LsqActivation(nn.Module):
    """An 8-bit grid [low, high] of integers around a zero point, with a learned step for the tensor.

    learn_zero: LSQ+, for tensors with both signs; the zero point of one that begins at 0 stays at the least integer.
    """

    def __init__(
        self, scale: float, zero_point: int, low: int, high: int, *, learn_zero: bool = False
    ) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.step = nn.Parameter(torch.tensor(float(scale)))
        self.zero = nn.Parameter(torch.tensor(float(zero_point)), requires_grad=learn_zero)
        self.enabled = True

    def forward(self, x: Tensor) -> Tensor:
        """[n, ...] -> the same shape, on the grid."""
        if not self.enabled:
            return x
        gain = (x[0].numel() * (self.high - self.low)) ** -0.5
        step, zero = self.step.clamp_min(1e-12), self.zero
        if fused.takes(x):
            return fused.on_grid(x, step, zero, self.low, self.high, gain)
        found: Tensor = _Lsq.apply(x, step, zero, self.low, self.high, gain)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def grid(self) -> tuple[float, int]:
        """Scale and zero point."""
        zero = int(torch.round(self.zero).clamp(self.low, self.high))
        return max(float(self.step), 1e-12), zero


class _Lsq(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # Any: torch's own
        x: Tensor,
        step: Tensor,
        zero: Tensor | None,
        low: int,
        high: int,
        gain: float,
    ) -> Tensor:
        offset = None if zero is None else torch.round(zero).clamp(low, high)
        # Adding it and taking it off is a quarter of the work; an accelerator would have to wait for its value.
        if offset is not None and x.device.type == HOST:
            low, high, offset = low - int(offset), high - int(offset), None
        steps = x / step
        # Without a place to go to, kernels of one channel lose their layout, and with it all images behind them.
        placed = torch.round(steps, out=torch.empty_like(steps))
        if offset is None:
            placed.clamp_(low, high)
        else:
            placed.add_(offset).clamp_(low, high).sub_(offset)
        ctx.beyond, ctx.gain = (low - _least(low), high + _least(high)), gain
        ctx.save_for_backward(steps, placed, step, offset)
        return placed * step

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # Any: torch's own
        steps, placed, step, offset = ctx.saved_tensors
        place = steps if offset is None else steps + offset

        # Without truth values: a comparison and a product with its outcome take 15 times as long on a CPU.
        def inside(values: Tensor) -> Tensor:
            found: Tensor = torch.ops.aten.hardtanh_backward(values, place, *ctx.beyond)
            return found

        passed = inside(g)
        error = (placed - inside(steps)).mul_(g)
        g_step = (error.sum_to_size(step.shape) * ctx.gain).to(step.dtype)
        g_zero = None
        if ctx.needs_input_grad[2]:
            g_zero = (-(g - passed).sum() * step * ctx.gain).to(step.dtype)
        return passed, g_step, g_zero, None, None, None


def _least(end: int) -> float:
    """How far the next number in float32 is from the end of a grid, which is inside itself."""
    return float(np.spacing(np.float32(max(1, abs(end)))))


def _best_steps(rows: Tensor, low: int, high: int) -> Tensor:
    """For each channel the step of least squared error, among shares of the one that clips nothing: [o]."""
    largest = rows.abs().amax(1, keepdim=True).clamp_min(1e-12)
    best = largest / high
    least = torch.full_like(best, torch.inf)
    for share in torch.linspace(0.15, 1.0, 60).tolist():
        step = largest * share / high
        error = (torch.round(rows / step).clamp(low, high) * step - rows).square().sum(1, True)
        best = torch.where(error < least, step, best)
        least = torch.minimum(error, least)
    return best.reshape(-1)
