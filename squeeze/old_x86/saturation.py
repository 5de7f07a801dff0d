"""Weights whose products cannot saturate on x86 CPUs without VNNI: scales for them, and whether given ones are such.

Such CPUs add two neighbouring products u8 * s8 in a saturating int16. Two weights are safe together when

    255 (w1 + w2) <= 32767 where both are positive, and >= -32768 where both are negative

which for u8 means |w1 + w2| <= 128. Which weights are neighbours is the runtime's affair:

    runtime   those that ONNX Runtime adds: 0 and 1, 2 and 3, ..., with channels fastest (see
              `squeeze.old_x86.int8_products`)
    any       any two of a channel, whatever the runtime; little is left of the eighth bit then, as most channels have
              two weights near their largest

Weights within -64..64 are always safe.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LARGEST_U8 = 255
LOWEST, HIGHEST = int(np.iinfo(np.int16).min), int(np.iinfo(np.int16).max)
FULL_LIMIT = 127
_SMALLEST = float(np.finfo(np.float32).tiny)
_HALVINGS = 60
Pairs = Literal["any", "runtime"]
# Whole numbers, whatever holds them.
Integers = NDArray[np.float64] | NDArray[np.int64]


def worst_sums(
    weights: NDArray[np.generic], most: int = LARGEST_U8, pairs: Pairs = "runtime"
) -> NDArray[np.int64]:
    """The sum furthest from 0 that two products of a channel can have with activations of 0..`most`, [o].

    weights: integers [o, ...]. Of a channel with one weight it is one product.
    """
    above, below = _sums(_in_pairs(weights.astype(np.float64), pairs), most)
    above, below = above.max(axis=1, initial=0.0), below.min(axis=1, initial=0.0)
    return np.asarray(np.where(above >= -below, above, below), np.int64)


def unsafe(
    weights: NDArray[np.generic], most: int = LARGEST_U8, pairs: Pairs = "runtime"
) -> NDArray[np.bool_]:
    """Whether two products of a channel can saturate, [o]. weights: integers [o, ...]."""
    return np.asarray(_too_far(_in_pairs(weights.astype(np.float64), pairs), most).any(axis=1))


def safe_scales(
    weights: NDArray[np.floating[Any]],  # Any: of any precision
    limit: int = FULL_LIMIT,
    most: int = LARGEST_U8,
    pairs: Pairs = "runtime",
) -> NDArray[np.float32]:
    """The smallest scale for each output channel [o] of weights [o, ...] with which no two products can saturate.

    The weights are to be rounded by rint(w / scale) and clipped to +-`limit`; `most` is the largest activation. A scale
    is absmax / `limit` where that is safe already, and at most absmax / 63.5 for u8 activations: 7 bits are always
    left. Larger scales are safe too.
    """
    wide = weights.astype(np.float64)
    largest = np.abs(wide.reshape(len(wide), -1)).max(axis=1, initial=0.0)
    scales = _float32(np.maximum(largest / limit, _SMALLEST))
    both = _in_pairs(wide, pairs)
    # A larger scale rounds no weight to more: pairs that fit at the smallest scale fit at all, and the others are few.
    channel, place = np.nonzero(_too_far(_rounded(both, scales[:, None], limit), most))
    two = both[channel, place]
    risky, channel = np.unique(channel, return_inverse=True)
    bad = scales[risky].astype(np.float64)
    # With half of int16 for each of two weights, less the half that rounding may add, they fit.
    good = np.maximum(bad, largest[risky] / max(HIGHEST // most // 2 - 0.5, 0.5))
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        far = _too_far(_rounded(two, middle[channel], limit), most)
        fits = np.bincount(channel[far], minlength=len(risky)) == 0
        good, bad = np.where(fits, middle, good), np.where(fits, bad, middle)
    scales[risky] = _float32(good)
    return scales


def repaired(
    integers: NDArray[np.int8],
    steps: NDArray[np.float64],
    most: int = LARGEST_U8,
    pairs: Pairs = "runtime",
) -> NDArray[np.int8]:
    """Integers [o, ...] with no two products that saturate, for weights that were not rounded to nearest.

    steps: the real weights in steps of their scale, [o, ...]. Of two weights that are too large together the one that
    was rounded up most becomes smaller by one, as often as it takes: seldom and little with `safe_scales`, while with
    scales that are not safe it spoils the weights.
    """
    rows = _runtime_order(integers).astype(np.int64)
    real = _runtime_order(steps)
    found = offending(rows, most, pairs)
    while len(found):
        channel = found[:, :1]
        two = rows[channel, found[:, 1:]]
        excess = np.abs(two) - np.sign(two) * real[channel, found[:, 1:]]
        # A weight of the other sign, or zero, takes no part in the sum.
        chosen = found[np.arange(len(found)), 1 + np.argmax(excess, axis=1)]
        where = np.unique(np.stack([found[:, 0], chosen], axis=1), axis=0)
        rows[where[:, 0], where[:, 1]] -= np.sign(rows[where[:, 0], where[:, 1]])
        found = offending(rows, most, pairs)
    narrow = rows.astype(np.int8)
    if integers.ndim < 3:
        return narrow
    moved = narrow.reshape(len(integers), *integers.shape[2:], integers.shape[1])
    return np.ascontiguousarray(np.moveaxis(moved, -1, 1))


def _runtime_order(weights: NDArray[Any]) -> NDArray[Any]:
    """Weights [o, ...] as [o, k], channels fastest."""
    last = np.moveaxis(weights, 1, -1) if weights.ndim > 2 else weights
    return last.reshape(len(weights), -1)


def _in_pairs(weights: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
    """The weights [o, ...] as the pairs of each channel that matter, [o, r, 2]."""
    rows = _runtime_order(weights)
    if pairs == "any":
        # With zeros, which make no sum smaller, the two largest of a channel are never negative.
        ordered = np.partition(np.pad(rows, ((0, 0), (0, 2))), (0, 1, -2, -1), axis=1)
        return np.stack([ordered[:, :2], ordered[:, -2:]], axis=1)
    return np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)


def offending(rows: NDArray[np.int64], most: int, pairs: Pairs) -> NDArray[np.intp]:
    """Channel and both places along k of pairs that can saturate, [r, 3]: all, or of any two the most extreme."""
    if rows.shape[1] < 2:
        return np.zeros((0, 3), np.intp)
    channels = np.arange(len(rows))[:, None]
    if pairs == "any":
        order = np.argsort(rows, axis=1)
        places = np.stack([order[:, :2], order[:, -2:]], axis=1)  # [o, 2, 2]
    else:
        even = rows.shape[1] // 2 * 2
        places = np.broadcast_to(np.arange(even).reshape(-1, 2), (len(rows), even // 2, 2))
    two = rows[channels[:, :, None], places]
    channel, index = np.nonzero(_too_far(two, most))
    return np.concatenate([channel[:, None], places[channel, index]], axis=1)


def _rounded(
    pairs: NDArray[np.float64], scales: NDArray[np.floating[Any]], limit: int
) -> NDArray[np.float64]:
    """pairs: [..., 2]; scales: [...], or what goes with it."""
    return np.clip(np.rint(pairs / scales.astype(np.float64)[..., None]), -limit, limit)


def _sums(pairs: Integers, most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The largest and the smallest sum of two products for each of the pairs [..., 2]."""
    return most * np.maximum(pairs, 0).sum(axis=-1), most * np.minimum(pairs, 0).sum(axis=-1)


def _too_far(pairs: Integers, most: int) -> NDArray[np.bool_]:
    """Which pairs [..., 2] can saturate."""
    above, below = _sums(pairs, most)
    return np.asarray((above > HIGHEST) | (below < LOWEST), np.bool_)


def _float32(scales: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rounded up."""
    narrow = scales.astype(np.float32)
    return np.where(narrow < scales, np.nextafter(narrow, np.float32(np.inf)), narrow)
