"""Post-training weights in few bits: which integers a layer's weights may become, and the scale of each output channel.

uniform   equal steps and the scale of least squared error. One set of integers for the layer, the best of three:
          -2^(b-1) .. 2^(b-1)-1, its mirror image, and the odd numbers -(2^b-1) .. 2^b-1, which leave zero out
linear    equal steps from the least to the largest weight of each channel (Polino et al. 2018, linear scaling);
          rounded to whole 63rds of the largest magnitude
codebook  2^b integers wherever the weights are (k-means in one dimension), one set for the layer
ternary   -1, 0, 1 with the scale of least squared error (Li et al. 2016), whatever the number of bits
binary    -1, 1 with the mean magnitude as scale (Rastegari et al. 2016), whatever the number of bits

Integers of 4 bits and fewer stay within 63, so that a pair of products with u8 activations fits into 16 bits on every
CPU. 8 bits are absmax scaling with 127 (63 for a reduced range), as everywhere else in this package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError, unknown
from squeeze.quant.ranges.grid import SMALLEST_SCALE

Scaling = Literal["binary", "codebook", "linear", "ternary", "uniform"]
Wide = NDArray[np.float64]
Integers = NDArray[np.int8]

FULL_BITS = 8
FEW_BITS = (4, 3, 2)
# Two products of 255 and 63 fit into int16.
LARGEST_LEVEL = 63
# Scales are looked for between a fifth of what covers the largest weight and all of it.
SMALLEST_SHARE = 0.2
CANDIDATES = 33
REFINEMENTS = 3
ROUNDS = 30


@dataclass(frozen=True)
class Levels:
    """Ascending integers [1, l] for all channels, or [o, l] for each; one scale per output channel, [o]."""

    integers: Integers
    scales: NDArray[np.float32]


def choose(
    weights: Wide,  # [o, ...]
    bits: int,
    scaling: Scaling = "uniform",
    least_scales: Wide | float = SMALLEST_SCALE,  # [o]
) -> Levels:
    """At most 2^bits integers for 4, 3 or 2 bits; no scale is smaller than `least_scales`. Raises ConfigError."""
    check_bits(bits, "weights")
    if bits == FULL_BITS:
        raise ConfigError("weights: levels are chosen for 4, 3 or 2 bits; 8 bits are a grid")
    if scaling not in SCALINGS:
        raise ConfigError(unknown("scaling of weights", scaling, SCALINGS))
    rows = weights.reshape(len(weights), -1)
    return SCALINGS[scaling](rows, bits, np.broadcast_to(least_scales, len(rows)))


def full(scales: NDArray[np.float32], limit: int) -> Levels:
    """All integers from -limit to limit, with scales that are known: 8 bits, or 7."""
    return Levels(np.arange(-limit, limit + 1, dtype=np.int8)[None], scales)


def check_bits(bits: int, where: str) -> None:
    """Raises ConfigError when weights cannot have so many bits."""
    if bits != FULL_BITS and bits not in FEW_BITS:
        raise ConfigError(f"{where}: got {bits} bits, allowed: 8, 4, 3, 2")


def nearest(weights: Wide, levels: Levels) -> Integers:
    """The nearest level of each weight [o, ...]."""
    rows = weights.reshape(len(weights), -1) / levels.scales.astype(np.float64)[:, None]
    found = np.empty(rows.shape, np.int8)
    for part, book in _parts(levels):
        wide = book.astype(np.float64)
        found[part] = book[np.searchsorted((wide[1:] + wide[:-1]) / 2, rows[part])]
    return found.reshape(weights.shape)


def neighbours(weights: Wide, levels: Levels) -> tuple[Integers, Integers]:
    """The levels below and above each weight [o, ...]; both are the outermost level for weights beyond it."""
    rows = weights.reshape(len(weights), -1) / levels.scales.astype(np.float64)[:, None]
    below, above = np.empty(rows.shape, np.int8), np.empty(rows.shape, np.int8)
    for part, book in _parts(levels):
        last = len(book) - 1
        first_above = np.searchsorted(book.astype(np.float64), rows[part], side="right")
        below[part] = book[np.clip(first_above - 1, 0, last)]
        above[part] = book[np.clip(first_above, 0, last)]
    return below.reshape(weights.shape), above.reshape(weights.shape)


def squared_error(weights: Wide, integers: Integers, scales: NDArray[np.float32]) -> float:
    """Mean squared error of the weights [o, ...] as a share of their mean square."""
    rows = weights.reshape(len(weights), -1)
    error = integers.reshape(rows.shape) * scales.astype(np.float64)[:, None] - rows
    return float((error**2).sum() / max(float((rows**2).sum()), SMALLEST_SCALE))


def _parts(levels: Levels) -> list[tuple[slice, Integers]]:
    """The rows that share a set of integers, and the set."""
    if len(levels.integers) == 1:
        return [(slice(None), levels.integers[0])]
    return [(slice(i, i + 1), book) for i, book in enumerate(levels.integers)]


def _uniform(rows: Wide, bits: int, least: Wide) -> Levels:
    half = 1 << (bits - 1)
    signed = np.arange(-half, half)
    sets = (signed, -signed[::-1], np.arange(1 - 2 * half, 2 * half, 2))
    return min((_fitted(rows, integers, least) for integers in sets), key=lambda f: f[1])[0]


def _ternary(rows: Wide, bits: int, least: Wide) -> Levels:
    return _fitted(rows, np.arange(-1, 2), least)[0]


def _binary(rows: Wide, bits: int, least: Wide) -> Levels:
    scales = np.maximum(np.abs(rows).mean(axis=1), least)
    return Levels(np.array([[-1, 1]], np.int8), scales.astype(np.float32))


def _linear(rows: Wide, bits: int, least: Wide) -> Levels:
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    scales = np.maximum(np.maximum(-low, high)[:, 0] / LARGEST_LEVEL, least).astype(np.float32)
    exact = low + (high - low) * np.linspace(0, 1, 1 << bits)
    return Levels(np.rint(exact / scales.astype(np.float64)[:, None]).astype(np.int8), scales)


def _codebook(rows: Wide, bits: int, least: Wide) -> Levels:
    largest = np.abs(rows).max(axis=1)
    scales = np.maximum(largest / LARGEST_LEVEL, least)
    # Squares of real errors, not of those in steps: loud channels count for more.
    units, importance = (rows / scales[:, None]).reshape(-1), np.repeat(scales**2, rows.shape[1])
    book = np.unique(np.rint(_k_means(units, importance, 1 << bits))).astype(np.int8)
    return Levels(book[None], scales.astype(np.float32))


def _k_means(x: Wide, importance: Wide, count: int) -> Wide:
    """Lloyd's rounds on numbers of unequal importance, from their quantiles: `count` means, ascending."""
    order = np.argsort(x, kind="stable")
    x, importance = x[order], importance[order]
    mass = np.concatenate([[0.0], np.cumsum(importance)])
    moment = np.concatenate([[0.0], np.cumsum(importance * x)])
    means = np.quantile(x, (np.arange(count) + 0.5) / count)
    for _ in range(ROUNDS):
        ends = np.searchsorted(x, (means[1:] + means[:-1]) / 2)
        ends = np.concatenate([[0], ends, [len(x)]])
        weight = np.diff(mass[ends])
        sums = np.diff(moment[ends])
        means = np.sort(np.where(weight > 0, sums / np.maximum(weight, SMALLEST_SCALE), means))
    return means


def _fitted(rows: Wide, integers: NDArray[np.signedinteger], least: Wide) -> tuple[Levels, float]:
    """The scale of least squared error per channel on equally spaced integers, and the sum of squared errors.

    First a search over how much of the largest weight is covered, then least squares on what each weight became.
    """
    first, step, last = float(integers[0]), float(integers[1] - integers[0]), len(integers) - 1

    def rounded(scales: Wide) -> Wide:
        places = np.clip(np.rint((rows / scales[:, None] - first) / step), 0, last)
        return places * step + first

    def errors(scales: Wide) -> Wide:
        error: Wide = ((rounded(scales) * scales[:, None] - rows) ** 2).sum(axis=1)
        return error

    whole = np.abs(rows).max(axis=1, initial=0.0) / np.abs(integers).max()
    best = np.maximum(whole, least)
    found = errors(best)
    shares = np.linspace(SMALLEST_SHARE, 1.0, CANDIDATES)
    for share in shares:
        scales = np.maximum(whole * share, least)
        error = errors(scales)
        best, found = np.where(error < found, scales, best), np.minimum(error, found)
    for _ in range(REFINEMENTS):
        became = rounded(best)
        squares = (became**2).sum(axis=1)
        projected = np.where(squares > 0, (rows * became).sum(axis=1), 0.0)
        scales = np.maximum(projected / np.maximum(squares, SMALLEST_SCALE), least)
        error = errors(scales)
        best, found = np.where(error < found, scales, best), np.minimum(error, found)
    return Levels(integers.astype(np.int8)[None], best.astype(np.float32)), float(found.sum())


SCALINGS: dict[str, Callable[[Wide, int, Wide], Levels]] = {
    "binary": _binary,
    "codebook": _codebook,
    "linear": _linear,
    "ternary": _ternary,
    "uniform": _uniform,
}
