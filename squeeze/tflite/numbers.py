"""Integers that stand for floats: `Params` of an activation, `Codes` of a constant. TFLite wants int8, so that uint8 is
moved by 128, codes and zero point alike, which stands for the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # Any: of any element type


@dataclass(frozen=True)
class Params:
    """An int8 code c stands for scale * (c - zero)."""

    scale: float
    zero: int

    def code(self, value: float) -> int:
        """The code nearest to a number, not yet cut to int8."""
        return round(value / self.scale) + self.zero


@dataclass(frozen=True)
class Codes:
    """A constant as integers. scale: of one entry, or one for each index along `axis`; zero: the same."""

    values: Array
    scale: Array
    zero: Array
    axis: int

    @property
    def symmetric(self) -> bool:
        return not self.zero.any()

    @property
    def params(self) -> Params | None:
        """Where one scale is for all."""
        if self.scale.size != 1:
            return None
        return Params(float(self.scale.reshape(())), int(self.zero.reshape(())))

    def plain(self) -> Array:
        """The numbers that they stand for, float32."""
        shape = [1] * self.values.ndim
        if self.scale.size != 1:
            shape[self.axis] = self.scale.size
        centred = self.values.astype(np.int64) - self.zero.reshape(shape)
        plain: Array = centred.astype(np.float32) * self.scale.reshape(shape).astype(np.float32)
        return plain


def codes_of(values: Array, scale: Array, zero: Array | None, axis: int) -> Codes | None:
    """Of what a DequantizeLinear is given; None for blocks and for types that TFLite has no integers for."""
    if scale.size != 1 and (scale.ndim != 1 or scale.size != values.shape[axis % values.ndim]):
        return None
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    name = values.dtype.name
    if name in ("uint8", "int8", "int4", "uint4", "int2", "uint2"):
        moved = values.astype(np.int64)
        shift = 128 if name == "uint8" else 0
        values, zeros = (moved - shift).astype(np.int8), zeros - shift
    elif name != "int32":
        return None
    if scale.size == 1:
        scale, zeros = scale.reshape(1), zeros.reshape(-1)[:1]
    return Codes(values, scale.astype(np.float32), zeros, axis % max(values.ndim, 1))


def exact_codes(values: Array) -> Codes | None:
    """int8 codes of float constants that stand for the very numbers, such as those of one scalar; None otherwise."""
    largest = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(largest):
        return None
    scale = np.float32(largest / 127 if largest else 1.0)
    codes = np.rint(values / scale)
    if np.abs(codes * scale - values).max(initial=0.0) > 1e-6 * largest:
        return None
    return Codes(codes.astype(np.int8), scale.reshape(1), np.zeros(1, np.int64), 0)
