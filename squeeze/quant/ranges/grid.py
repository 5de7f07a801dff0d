"""The integer grids: scales and zero points from ranges, weights per channel, biases.

real = scale * (integer - zero_point)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze.old_x86.saturation import safe_scales

# A tensor that is constantly zero still needs a scale; smaller ones would underflow in x_scale * w_scale.
SMALLEST_SCALE = 1e-12
# Half of int32, so that a bias correction or the runtime's sums cannot overflow.
LARGEST_BIAS = 2**30


@dataclass(frozen=True)
class Grid:
    """An integer type, the largest magnitude of weights on it, and whether no two of their products may saturate."""

    dtype: np.dtype[np.uint8] | np.dtype[np.int8]
    weight_limit: int = 127
    safe: bool = False

    @classmethod
    def of(cls, activations: Literal["uint8", "int8"], *, safe: bool) -> Grid:
        """The grid for activations of this type."""
        dtype = np.dtype(np.uint8) if activations == "uint8" else np.dtype(np.int8)
        return cls(dtype, safe=safe)

    @property
    def least(self) -> int:
        """The smallest integer: a range that begins at 0 has its zero point here."""
        return int(np.iinfo(self.dtype).min)

    @property
    def most(self) -> int:
        """The largest integer."""
        return int(np.iinfo(self.dtype).max)


@dataclass(frozen=True)
class Params:
    """Scale (float32) and zero point of one activation tensor."""

    scale: float
    zero_point: int


def params(low: float, high: float, grid: Grid, least_scale: float = SMALLEST_SCALE) -> Params:
    """The grid that covers [low, high] and holds 0 exactly; no scale is smaller than `least_scale`."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / (grid.most - grid.least), least_scale)
    zero_point = int(np.clip(np.rint(grid.least - low / scale), grid.least, grid.most))
    return Params(float(np.float32(scale)), zero_point)


def round_trip(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    """What x [k] becomes on the grid of `steps` steps over each [low, high] ([m] each, low <= 0 <= high): [m, k]."""
    scale = np.maximum((high - low) / steps, SMALLEST_SCALE)[:, None]
    zero_point = np.rint(-low[:, None] / scale)
    restored: NDArray[np.float64] = (
        np.clip(np.rint(x / scale) + zero_point, 0, steps) - zero_point
    ) * scale
    return restored


def weight_scales(
    weights: NDArray[np.float64],  # [o, ...]
    grid: Grid,
    least: NDArray[np.float64] | float = SMALLEST_SCALE,  # [o]
) -> NDArray[np.float32]:
    """One scale per output channel, [o], none smaller than `least`."""
    if grid.safe:
        scales = safe_scales(weights, grid.weight_limit).astype(np.float64)
    else:
        largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1, initial=0.0)
        scales = largest / grid.weight_limit
    wide_enough = np.maximum(scales, np.maximum(least, SMALLEST_SCALE))
    narrow: NDArray[np.float32] = wide_enough.astype(np.float32)
    return narrow


def least_scales(bias: NDArray[np.float64], x_scale: float) -> NDArray[np.float64]:
    """The smallest scale of each output channel with which its bias fits into int32, [o]."""
    fitting: NDArray[np.float64] = np.abs(bias) / (x_scale * LARGEST_BIAS)
    return np.maximum(fitting, SMALLEST_SCALE)


def quantise_weights(
    weights: NDArray[np.float64], scales: NDArray[np.float32], grid: Grid
) -> NDArray[np.int8]:
    """int8 weights [o, ...], symmetric; -128 is never used."""
    wide = scales.astype(np.float64).reshape(-1, *[1] * (weights.ndim - 1))
    limit = grid.weight_limit
    return np.clip(np.rint(weights / wide), -limit, limit).astype(np.int8)


def quantise_bias(
    bias: NDArray[np.float64], x_scale: float, scales: NDArray[np.float32]
) -> NDArray[np.int32]:
    """int32 bias in steps of x_scale * scale, [o]."""
    steps = np.float32(x_scale) * scales
    whole = np.clip(np.rint(bias / steps.astype(np.float64)), -LARGEST_BIAS, LARGEST_BIAS)
    return np.asarray(whole, np.int32)
