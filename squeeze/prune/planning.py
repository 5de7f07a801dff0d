"""Which units go so that the MACs fall as far as asked: whole steps of the target's channel width, the least important
first."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.prune.counting import Costs
    from squeeze.prune.units import Block, Scores, Unit


def shortest(block: Block) -> list[Unit]:
    """The least that can go at all, without regard to any width: one unit of each slot; none when that is all."""
    slots = _slots(block, np.zeros(len(block.units)))
    return [] if len(slots[0]) < 2 else [slot[len(slot) // 2] for slot in slots]


def steps(block: Block, scores: NDArray[np.float64], align: int) -> list[list[Unit]]:
    """What goes first, second, ...: after each step the channels that stay are a multiple of `align`.

    Less than `align` never stay; a block that has no more than that has no steps.
    """
    slots = _slots(block, scores)
    size = len(slots[0])
    # Channels of a layer are those of all slots that end in it.
    width = math.lcm(align, block.alike) // block.alike
    found, gone = [], 0
    for kept in range((size - 1) // width * width, 0, -width):
        found.append([unit for slot in slots for unit in slot[gone : size - kept]])
        gone = size - kept
    return found


def globally(
    blocks: tuple[Block, ...], scores: Scores, costs: Costs, target_macs: float, align: int
) -> list[Unit]:
    """Steps of all blocks in the order of their importance until no more than `target_macs` are left.

    A step that would end further beyond the target than it began before it is passed over, with the rest of its block.
    """
    waiting = []
    for i, (block, values) in enumerate(zip(blocks, scores.values, strict=True)):
        if values is not None and (found := steps(block, values, align)):
            waiting.append((_rank(block, values, found[0], costs, scores.additive), i, 0, found))
    heapq.heapify(waiting)
    chosen: list[Unit] = []
    while waiting and costs.total > target_macs:
        _, i, k, found = heapq.heappop(waiting)
        over, short = costs.total - target_macs, target_macs - costs.total + costs.saved(found[k])
        if short > over and chosen:
            continue
        costs.remove(found[k])
        chosen.extend(found[k])
        if k + 1 < len(found):
            values = scores.values[i]
            assert values is not None
            rank = _rank(blocks[i], values, found[k + 1], costs, scores.additive)
            heapq.heappush(waiting, (rank, i, k + 1, found))
    return chosen


def evenly(
    blocks: tuple[Block, ...], scores: Scores, costs: Costs, target_macs: float, align: int
) -> list[Unit]:
    """The same share of every block, the least important units of each, until `target_macs` are left."""
    waiting = []
    for i, (block, values) in enumerate(zip(blocks, scores.values, strict=True)):
        if values is not None:
            lost = 0
            for step in steps(block, values, align):
                lost += len(step)
                waiting.append((lost / len(block.units), i, step))
    chosen: list[Unit] = []
    passed: set[int] = set()
    for _, i, step in sorted(waiting, key=lambda w: w[:2]):
        over, short = costs.total - target_macs, target_macs - costs.total + costs.saved(step)
        if over <= 0:
            break
        if i in passed or (short > over and chosen):
            passed.add(i)  # its later steps stand on this one
            continue
        costs.remove(step)
        chosen.extend(step)
    return chosen


def _slots(block: Block, scores: NDArray[np.float64]) -> list[list[Unit]]:
    """The units of each slot, the least important first; ties in the order of the layer, the last first."""
    order = sorted(range(len(block.units)), key=lambda i: (scores[i], -i))
    found: list[list[Unit]] = [[] for _ in range(block.slots)]
    for i in order:
        found[block.units[i].slot].append(block.units[i])
    return found


def _rank(
    block: Block, values: NDArray[np.float64], step: list[Unit], costs: Costs, additive: bool
) -> float:
    gone = set(map(id, step))
    found = [v for unit, v in zip(block.units, values, strict=True) if id(unit) in gone]
    if additive:
        return float(np.sum(found)) / max(1, costs.saved(step))
    return float(np.mean(found))
