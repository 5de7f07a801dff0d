"""Children of a network: fewer blocks, fewer channels, its weights refitted; and how near each one is to it.

Which blocks go first is found one after the other: the one whose absence the loss of held-out samples minds least. Of
what is left the least important channels go until the child is as fast as asked. No weight is trained.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.prune import importance, macs
from squeeze.prune.structured import Prunable, prunable
from squeeze.prune.units import Samples, Scores
from squeeze.search import estimate
from squeeze.shrink.blocks import Block, Shortened, blocks, without
from squeeze.shrink.costs import Costs, costs_of, units_beyond
from squeeze.shrink.distance import share_of_constant
from squeeze.shrink.reconstruct import reconstruct, rows_of
from squeeze.students.network import Network

if TYPE_CHECKING:
    from squeeze.losses import Space
    from squeeze.shrink.reconstruct import Rows

# Which block goes next is asked tens of times; what is asked of a child, once.
_ORDER_SAMPLES = 128
# Channels that stay are a multiple of it, and at least as many.
_ALIGN = 8
# Inside a bundle, with weights refitted after it, what looks at samples ranks no better (docs/search.md).
_IMPORTANCE = "l2"


@dataclass(frozen=True)
class Child:
    """A network that is smaller. blocks: the sums that went, depth of them; costs: guessed; loss: of held-out samples,
    untrained; far: from the teacher on them, as a share of how far one constant answer is."""

    network: Network
    blocks: tuple[str, ...]
    costs: Costs
    macs: int
    loss: float
    far: float

    @property
    def depth(self) -> int:
        """How many blocks went."""
        return len(self.blocks)


@dataclass(frozen=True)
class Seen:
    """Samples that children are made and judged by. fit: what weights and importance are taken from; held: what is
    judged, x [n, ...] with the teacher's logits [n, c]; loss(logits, teacher's): of a batch; space: what logits are."""

    fit: Sequence[Samples]
    held: Samples
    loss: Callable[[Tensor, Tensor], Tensor]
    space: Space

    def lost(self, network: nn.Module, count: int | None = None) -> float:
        """What `network` loses of held-out samples; of the first `count` alone."""
        return float(self.loss(self._answers(network, count), self._wanted[:count]))

    def far(self, network: nn.Module) -> float:
        """How far `network` is from the teacher on held-out samples, as a share of how far one constant answer is."""
        return share_of_constant(self._answers(network), self._wanted, self.space, self.loss)

    @torch.no_grad()
    def _answers(self, network: nn.Module, count: int | None = None) -> Tensor:
        logits: Tensor = network(self.held.x[:count])
        return logits

    @property
    def _wanted(self) -> Tensor:
        assert self.held.teacher is not None
        return self.held.teacher


class Children:
    """The children of `whole`, which is in eval mode and stays as it is."""

    def __init__(self, whole: Network, seen: Seen, align: int = _ALIGN) -> None:
        self.whole, self.seen, self.align = whole, seen, align
        self.held = estimate.INT8
        self.example = seen.held.x[:2]
        self._shortened: dict[int, Shortened] = {}
        self._prunable: dict[int, tuple[Prunable, Scores]] = {}

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks that may go, in the order in which they do."""
        candidates = blocks(self.whole, self.example)
        found: list[Block] = []
        # A block is missed more the fewer there are, so that what was known of one is the least that it is missed now.
        waiting = [(self._loss_without(found, block), i) for i, block in enumerate(candidates)]
        heapq.heapify(waiting)
        while waiting:
            _, i = heapq.heappop(waiting)
            missed = self._loss_without(found, candidates[i]) if waiting else 0.0
            if waiting and missed > waiting[0][0]:
                heapq.heappush(waiting, (missed, i))
                continue
            found.append(candidates[i])
        return tuple(found)

    @cached_property
    def rows(self) -> Rows:
        """What the whole network makes of the samples that weights are refitted on."""
        return rows_of(self.whole, self._x)

    def hold(self, bits: int) -> None:
        """From now on bytes are guessed of files with weights of so many bits."""
        self.held = estimate.stored(bits)

    def costs(self, depth: int) -> Costs:
        """Of the whole network without its first `depth` blocks, guessed."""
        return costs_of(self.shortened(depth).network, self.example, self.held)

    def loss(self, network: nn.Module, count: int | None = None) -> float:
        """Of held-out samples; of the first `count` alone."""
        return self.seen.lost(network, count)

    def shortened(self, depth: int) -> Shortened:
        """The whole network without its first `depth` blocks."""
        if depth not in self._shortened:
            self._shortened[depth] = without(self.whole, self.blocks[:depth])
        return self._shortened[depth]

    def child(self, depth: int, most: Costs) -> Child:
        """The child without the first `depth` blocks whose costs are about `most`, or the smallest where none is.

        Raises UnsupportedError where its channels cannot be followed.
        """
        short = self.shortened(depth)
        found, scores = self._scored(depth)
        units = units_beyond(found, scores, self.align, most, self.held)
        pruned = found.without(units)
        made = pruned.module
        assert isinstance(made, Network)  # a copy of one
        reconstruct(made, pruned.gone, short.stands_for, self.rows, self._x)
        return Child(
            made,
            tuple(block.total for block in self.blocks[:depth]),
            costs_of(made, self.example, self.held),
            macs(made, self.example),
            self.loss(made),
            self.seen.far(made),
        )

    @cached_property
    def _x(self) -> Tensor:
        return torch.cat([batch.x for batch in self.seen.fit])

    def _scored(self, depth: int) -> tuple[Prunable, Scores]:
        """What may go of the network at this depth, and how much each unit matters there."""
        if depth not in self._prunable:
            found = prunable(self.shortened(depth).network, self.example)
            scored = importance(_IMPORTANCE)(found.module, found.coupling.bundles, self.seen.fit)
            self._prunable[depth] = found, scored
        return self._prunable[depth]

    def _loss_without(self, found: Sequence[Block], block: Block) -> float:
        return self.loss(without(self.whole, (*found, block)).network, _ORDER_SAMPLES)
