"""Which units go so that the MACs fall as far as asked: portions that leave whole multiples of the target's channel
width, the least important first."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.prune.counting import MacsLeft
    from squeeze.prune.units import Bundle, Scores, Unit


def shortest(bundle: Bundle) -> list[Unit]:
    """The least that can go at all, without regard to any width: one unit of each slot; none when that is all."""
    slots = _slots(bundle, np.zeros(len(bundle.units)))
    return [] if len(slots[0]) < 2 else [slot[len(slot) // 2] for slot in slots]


def portions(bundle: Bundle, scores: NDArray[np.float64], align: int) -> list[list[Unit]]:
    """What goes first, second, ...: after each portion the channels that stay are a multiple of `align`.

    Less than `align` never stay; a bundle that has no more than that has no portions.
    """
    slots = _slots(bundle, scores)
    size = len(slots[0])
    # Channels of a layer are those of all slots that end in it.
    width = math.lcm(align, bundle.alike) // bundle.alike
    found, gone = [], 0
    for kept in range((size - 1) // width * width, 0, -width):
        found.append([unit for slot in slots for unit in slot[gone : size - kept]])
        gone = size - kept
    return found


def globally(
    bundles: tuple[Bundle, ...], scores: Scores, macs_left: MacsLeft, target_macs: float, align: int
) -> list[Unit]:
    """Portions of all bundles in the order of their importance until no more than `target_macs` are left.

    A portion that would end further beyond the target than it began before it is passed over, with the rest of its
    bundle.
    """
    waiting = []
    for i, (bundle, values) in enumerate(zip(bundles, scores.values, strict=True)):
        if values is not None and (found := portions(bundle, values, align)):
            waiting.append(
                (_rank(bundle, values, found[0], macs_left, scores.additive), i, 0, found)
            )
    heapq.heapify(waiting)
    chosen: list[Unit] = []
    while waiting and macs_left.total > target_macs:
        _, i, k, found = heapq.heappop(waiting)
        if chosen and _overshoots(macs_left, target_macs, found[k]):
            continue
        macs_left.remove(found[k])
        chosen.extend(found[k])
        if k + 1 < len(found):
            values = scores.values[i]
            assert values is not None
            rank = _rank(bundles[i], values, found[k + 1], macs_left, scores.additive)
            heapq.heappush(waiting, (rank, i, k + 1, found))
    return chosen


def evenly(
    bundles: tuple[Bundle, ...], scores: Scores, macs_left: MacsLeft, target_macs: float, align: int
) -> list[Unit]:
    """The same share of every bundle, the least important units of each, until `target_macs` are left."""
    waiting = []
    for i, (bundle, values) in enumerate(zip(bundles, scores.values, strict=True)):
        if values is not None:
            lost = 0
            for portion in portions(bundle, values, align):
                lost += len(portion)
                waiting.append((lost / len(bundle.units), i, portion))
    chosen: list[Unit] = []
    passed: set[int] = set()
    for _, i, portion in sorted(waiting, key=lambda w: w[:2]):
        if macs_left.total <= target_macs:
            break
        if i in passed or (chosen and _overshoots(macs_left, target_macs, portion)):
            passed.add(i)  # its later portions stand on this one
            continue
        macs_left.remove(portion)
        chosen.extend(portion)
    return chosen


def _overshoots(macs_left: MacsLeft, target_macs: float, portion: list[Unit]) -> bool:
    """Whether the portion would end further beyond the target than it begins before it."""
    over = macs_left.total - target_macs
    return macs_left.saved(portion) - over > over


def _slots(bundle: Bundle, scores: NDArray[np.float64]) -> list[list[Unit]]:
    """The units of each slot, the least important first; ties in the order of the layer, the last first."""
    order = sorted(range(len(bundle.units)), key=lambda i: (scores[i], -i))
    found: list[list[Unit]] = [[] for _ in range(bundle.slots)]
    for i in order:
        found[bundle.units[i].slot].append(bundle.units[i])
    return found


def _rank(
    bundle: Bundle,
    values: NDArray[np.float64],
    portion: list[Unit],
    macs_left: MacsLeft,
    additive: bool,
) -> float:
    gone = set(map(id, portion))
    found = [v for unit, v in zip(bundle.units, values, strict=True) if id(unit) in gone]
    if additive:
        return float(np.sum(found)) / max(1, macs_left.saved(portion))
    return float(np.mean(found))
