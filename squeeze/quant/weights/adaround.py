"""AdaRound (Nagel et al. 2020): weights are rounded up or down so that the output of the layer comes near, not they.

The error of a layer over all it saw is tr(D C D') (see `gram`), so that thousands of steps cost no pass
over samples. Each weight lies between two levels, at below + h (above - below), and h = clip(1.2 sigmoid(v) - 0.1,
0, 1) starts where the weight is. Adam moves v; after the warm-up a penalty 1 - |2 h - 1|^beta, whose beta falls from 20
to 2, pushes every h to 0 or 1. Then each scale takes its best value for the integers that came out.

Channels do not depend on each other: the error of each counts as a multiple of what rounding to nearest makes of
it, and a channel that did not improve is rounded to nearest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.quant.weights.gram import Gram
from squeeze.quant.weights.levels import Levels, nearest, neighbours

ITERATIONS = 500
# In errors that rounding to nearest makes per weight; less leaves weights between two levels (measured).
PENALTY = 30.0
WARM_UP = 0.2
FIRST_BETA, LAST_BETA = 20.0, 2.0
LEARNING_RATE = 0.1
STRETCH, SHIFT = 1.2, 0.1
# Adam's, as published.
FIRST_DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8
NOTHING = 1e-6

Wide = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rounded:
    """What a layer's weights became, and the error of each output channel: to nearest and as they are now, [o].

    bias_shift: what the bias of each channel has to gain, [o]; zero when it may not change.
    soft: the share of weights that were on neither level at the end.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias_shift: Wide
    before: Wide
    after: Wide
    soft: float


def adaround(
    weights: Wide,  # [o, ...]
    levels: Levels,
    gram: Gram,
    *,
    biased: bool = True,
    least_scales: Wide | float = 0.0,  # [o]
    iterations: int = ITERATIONS,
) -> Rounded:
    """Weights on `levels` whose layer is as near to the float one as could be found, never further than to nearest.

    biased: the layer has a bias, which takes up the mean shift
    least_scales: no scale becomes smaller, so that the bias fits into int32
    """
    groups, outputs = len(gram.mean), len(weights)
    rows = weights.reshape(groups, outputs // groups, -1)  # [g, o / g, k]
    matrix = gram.covariance if biased else gram.moments
    to_nearest = nearest(weights, levels).reshape(rows.shape)
    below, above = (n.reshape(rows.shape) for n in neighbours(weights, levels))
    scales = levels.scales.astype(np.float64).reshape(rows.shape[:2])
    before = errors(to_nearest * scales[:, :, None] - rows, matrix)
    h = soft_rounding(rows, below, above, scales, matrix, before, iterations)
    integers = np.where(h >= 0.5, above, below)

    least = np.broadcast_to(np.asarray(least_scales, np.float64), outputs).reshape(scales.shape)
    found, found_scales, after = to_nearest, scales, before
    for tried in (to_nearest, integers):
        better_scales = best_scales(rows, tried, matrix, scales, least)
        for s in (scales, better_scales):
            error = errors(tried * s[:, :, None] - rows, matrix)
            better = error < after
            found = np.where(better[:, :, None], tried, found)
            found_scales = np.where(better, s, found_scales)
            after = np.where(better, error, after)
    narrow = found_scales.astype(np.float32)
    missing = rows - found * narrow.astype(np.float64)[:, :, None]
    shift = np.einsum("gok,gk->go", missing, gram.mean) if biased else np.zeros(narrow.shape)
    free = above != below
    return Rounded(
        integers=found.reshape(weights.shape),
        scales=narrow.reshape(-1),
        bias_shift=shift.reshape(-1),
        before=before.reshape(-1),
        after=after.reshape(-1),
        soft=float(((h > 0) & (h < 1) & free).sum() / max(int(free.sum()), 1)),
    )


def errors(difference: Wide, matrix: Wide) -> Wide:
    """d C d' of each channel: difference [g, o, k], matrix [g, k, k] -> [g, o]. Never below zero."""
    found: Wide = np.maximum(((difference @ matrix) * difference).sum(axis=2), 0.0)
    return found


def best_scales(
    rows: Wide, integers: NDArray[np.int8], matrix: Wide, scales: Wide, least: Wide
) -> Wide:
    """The scale of each channel with which its integers make the least error, [g, o]; as it was where that is none."""
    seen = integers @ matrix
    squares = (seen * integers).sum(axis=2)
    projected = (seen * rows).sum(axis=2) / np.where(squares > 0, squares, 1.0)
    return np.where((squares > 0) & (projected > 0), np.maximum(projected, least), scales)


def start(fraction: NDArray[np.floating]) -> NDArray[np.floating]:
    """The v whose h is `fraction`, which is in [0, 1]."""
    started: NDArray[np.floating] = -np.log(STRETCH / (fraction + SHIFT) - 1)
    return started


def soft_rounding(
    rows: Wide,  # [g, o, k]
    below: NDArray[np.int8],
    above: NDArray[np.int8],
    scales: Wide,  # [g, o]
    matrix: Wide,  # [g, k, k]
    unit: Wide,  # [g, o]
    iterations: int,
) -> Floats:
    """h in [0, 1] for every weight: 0 is the level below. The error of each channel is counted in `unit` / k."""
    k = rows.shape[2]
    # In steps of the scale; single precision is twice as fast, and finer than any decision here.
    at = rows / scales[:, :, None]
    gap = (above.astype(np.int16) - below).astype(np.float32)
    fraction = np.where(gap > 0, (at - below) / np.maximum(gap, 1), 0.0)
    v = start(np.clip(fraction, 0, 1)).astype(np.float32)
    offset = (below - at).astype(np.float32)
    c = matrix.astype(np.float32)
    # What rounding by chance would cost. A channel that is next to exact already has nothing to gain, and its share
    # of the error would overflow.
    expected = scales**2 * np.trace(matrix, axis1=1, axis2=2)[:, None] / 12
    worth = unit > NOTHING * expected
    weight = np.where(worth, k * scales**2 / np.where(worth, unit, 1.0), 0.0)
    weight = weight.astype(np.float32)[:, :, None]
    mean, square = np.zeros_like(v), np.zeros_like(v)
    warm = round(WARM_UP * iterations)
    h = np.empty_like(v)
    for i in range(iterations):
        sigmoid = 1 / (1 + np.exp(-v))
        raw = STRETCH * sigmoid - SHIFT
        np.clip(raw, 0, 1, out=h)
        gradient = (offset + gap * h) @ c
        gradient *= gap
        gradient *= 2 * weight
        if i >= warm:
            beta = LAST_BETA + (FIRST_BETA - LAST_BETA) * _cosine((i - warm) / (iterations - warm))
            gradient += _penalty_slope(h, beta)
        gradient *= STRETCH * sigmoid * (1 - sigmoid)
        gradient *= (raw > 0) & (raw < 1)
        mean += (1 - FIRST_DECAY) * (gradient - mean)
        square += (1 - SECOND_DECAY) * (gradient**2 - square)
        step = LEARNING_RATE / (1 - FIRST_DECAY ** (i + 1))
        v -= step * mean / (np.sqrt(square / (1 - SECOND_DECAY ** (i + 1))) + TINY)
    return np.clip(STRETCH / (1 + np.exp(-v)) - SHIFT, 0, 1)


def _penalty_slope(h: Floats, beta: float) -> Floats:
    """The derivative of PENALTY (1 - |2 h - 1|^beta)."""
    centred = 2 * h - 1
    slope: Floats = (-2 * PENALTY * beta * np.sign(centred) * np.abs(centred) ** (beta - 1)).astype(
        np.float32
    )
    return slope


def _cosine(share: float) -> float:
    return float((1 + np.cos(np.pi * share)) / 2)
