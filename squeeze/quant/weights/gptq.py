"""Weights in blocks of few bits, each column rounded for what those before it did wrong (GPTQ, Frantar et al. 2023).

For one row w of a layer and the second moments H of its inputs the error of other weights q is (w - q) H (w - q)'. When
column i is rounded, the columns behind it move by -(w_i - q_i) U_ij / U_ii, which makes the least error that is left;
U is the upper Cholesky factor of the inverse of H. Without moments columns do not move: rounding to nearest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Of the mean of H's diagonal, added to it (the paper's): inputs that are always 0 have a finite inverse.
DAMPING = 0.01
# Columns whose moves are added up before those behind them are touched.
LAZY = 128
# Shares of a block's largest number that its scale is tried with.
SHARES = np.linspace(0.7, 1.0, 13)

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Blocked:
    """Integers [o, k] from 0 to 2^bits - 1 and scales [o, blocks] of `block` columns each: a weight is
    (integer - 2^(bits - 1)) * scale."""

    integers: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    block: int

    def weights(self) -> Wide:
        """The numbers that these stand for, [o, k]."""
        each = np.repeat(self.scales.astype(np.float64), self.block, axis=1)
        centred = self.integers.astype(np.float64) - (1 << (self.bits - 1))
        found: Wide = centred * each[:, : self.integers.shape[1]]
        return found


def rounded(weights: Wide, bits: int, block: int, moments: Wide | None = None) -> Blocked:
    """Blocks of a layer's weights [o, k]; moments of its inputs about zero [k, k], or None to round to nearest."""
    work = np.array(weights, np.float64)
    outputs, k = work.shape
    factor = None if moments is None else _factor(moments)
    integers = np.empty(work.shape, np.uint8)
    scales = np.empty((outputs, -(-k // block)), np.float32)
    middle, most = 1 << (bits - 1), (1 << bits) - 1
    for start in range(0, k, LAZY):
        end = min(start + LAZY, k)
        moved = np.zeros((outputs, end - start))
        for i in range(start, end):
            if i % block == 0:
                scales[:, i // block] = _scales(work[:, i : i + block], bits)
            scale = scales[:, i // block].astype(np.float64)
            integers[:, i] = np.clip(np.rint(work[:, i] / scale) + middle, 0, most)
            if factor is None:
                continue
            wrong = work[:, i] - (integers[:, i].astype(np.float64) - middle) * scale
            wrong /= factor[i, i]
            # A block may begin in the middle: its scales are of columns that have moved.
            work[:, i + 1 : end] -= wrong[:, None] * factor[i, i + 1 : end]
            moved[:, i - start] = wrong
        if factor is not None:
            work[:, end:] -= moved @ factor[start:end, end:]
    return Blocked(integers, scales, bits, block)


def error(weights: Wide, blocked: Blocked, moments: Wide) -> float:
    """What a layer's outputs are off by, as a share of their second moments about zero."""
    wrong = blocked.weights() - weights
    whole = float(((weights @ moments) * weights).sum())
    return float(((wrong @ moments) * wrong).sum()) / (whole or 1.0)


def _factor(moments: Wide) -> Wide:
    """U [k, k] with U'U the inverse of the damped moments."""
    diagonal = np.diag(moments)
    damped = moments + np.diag(np.full(len(moments), DAMPING * (diagonal.mean() or 1.0)))
    found: Wide = np.linalg.cholesky(np.linalg.inv(damped)).T
    return found


def _scales(weights: Wide, bits: int) -> NDArray[np.float32]:
    """Of a block [o, block], the scale of least squared error for each row. The largest number is at the end of the
    integers that has one more of them."""
    middle, most = 1 << (bits - 1), (1 << bits) - 1
    largest = weights[np.arange(len(weights)), np.abs(weights).argmax(axis=1)]
    whole = np.where(largest == 0, 1.0, largest) / -middle
    best, least = whole, np.full(len(weights), np.inf)
    for share in SHARES:
        scale = whole * share
        steps = np.clip(np.rint(weights / scale[:, None]), -middle, most - middle)
        squared = ((steps * scale[:, None] - weights) ** 2).sum(axis=1)
        best, least = np.where(squared < least, scale, best), np.minimum(squared, least)
    found: NDArray[np.float32] = best.astype(np.float32)
    return found
