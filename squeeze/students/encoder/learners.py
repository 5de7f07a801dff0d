"""The linear layers of an encoder's layer as learners, of which each token is given as many as it needs: y_k is the sum
of the first k of them (Wójcik et al., "Adaptive Computation Modules", 2024).

A gate says of each token how many learners it wants. In training that many are added up. In a file the number of tokens
that a learner computes is fixed: `capacity` 64ths of them, those that want most, and with equal capacities no token has
a learner without those before it. Tokens of each sample compete with each other alone, by how many of them count, so
that what a text gives depends neither on texts beside it nor on how far it is filled up.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from squeeze.students.encoder.network import activation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.encoder.params import Activation

Count = TypeVar("Count", int, Tensor)

# A capacity is so many of WHOLE: products of integers round in the same way everywhere.
WHOLE = 64
GATE_WIDTH = 16
_LAST = -1.0  # of tokens that do not count: below every wish


def widths(ffn: int, learners: int) -> list[int]:
    """Channels of each learner, as alike as that goes, the wider ones first."""
    return [ffn // learners + (i < ffn % learners) for i in range(learners)]


class Learner(nn.Module):
    """down(act(up(x))) of a part of the channels."""

    def __init__(self, hidden: int, ffn: int, between: Activation) -> None:
        super().__init__()
        self.up = nn.Linear(hidden, ffn)
        self.activation = activation(between)
        self.down = nn.Linear(ffn, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[..., hidden] -> [..., hidden]."""
        found: Tensor = self.down(self.activation(self.up(x)))
        return found


class Learners(nn.Module):
    """`capacities`, of each learner, are never more than those before them; None for all tokens of all."""

    def __init__(
        self,
        hidden: int,
        ffn: int,
        learners: int,
        between: Activation,
        capacities: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.capacities = (WHOLE,) * learners if capacities is None else tuple(capacities)
        self.parts = nn.ModuleList(Learner(hidden, n, between) for n in widths(ffn, learners))
        self.gate = nn.Sequential(
            nn.Linear(hidden, GATE_WIDTH),
            nn.ReLU(),
            nn.Linear(GATE_WIDTH, GATE_WIDTH),
            nn.ReLU(),
            nn.Linear(GATE_WIDTH, learners + 1),
        )

    def prefixes(self, x: Tensor) -> list[Tensor]:
        """y_1 to y_N of x, each [..., hidden]; y_0 is 0."""
        return list(accumulate(part(x) for part in self.each))

    @property
    def each(self) -> list[Learner]:
        """The learners, the first one first."""
        return list(self.parts)  # type: ignore[arg-type]

    def opened(self, x: Tensor, opened: Tensor) -> Tensor:
        """The sum of all learners, each of them times `opened`, [..., N]."""
        parts = [part(x) * opened[..., i : i + 1] for i, part in enumerate(self.each)]
        found: Tensor = torch.stack(parts).sum(0)
        return found

    def wish(self, x: Tensor) -> Tensor:
        """How many learners tokens want, [n, s]: the mean of what the gate says."""
        likely = self.gate(x).softmax(-1)
        counts = torch.arange(likely.shape[-1], dtype=likely.dtype, device=x.device)
        mean: Tensor = (likely * counts).sum(-1)
        return mean

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """As a file computes it. x: [n, s, hidden]; mask: [n, s], 1 for tokens that count."""
        given = list(zip(self.each, self.capacities, strict=True))
        everywhere = [part(x) for part, capacity in given if capacity == WHOLE]
        total = torch.stack(everywhere).sum(0) if everywhere else torch.zeros_like(x)
        some = [(part, capacity) for part, capacity in given if 0 < capacity < WHOLE]
        return self._added(total, x, mask, some) if some else total

    def _added(
        self, total: Tensor, x: Tensor, mask: Tensor | None, some: list[tuple[Learner, int]]
    ) -> Tensor:
        """`total`, and for the tokens that want most what learners with a capacity give."""
        n, s, hidden = x.shape
        wish = self.wish(x)
        if mask is not None:
            wish = torch.where(mask > 0, wish, _LAST)
        # Of all tokens, which is cut later: where a short text has one place alone, the exporter would take the sum
        # with one number a sample to be as wide for all texts.
        order = wish.topk(s, dim=1).indices  # [n, s], who wants most first
        rows = order + torch.arange(n, device=x.device)[:, None] * s
        counted = None if mask is None else mask.sum(1, keepdim=True).to(torch.int64)
        flat, found = x.reshape(n * s, hidden), total.reshape(n * s, hidden)
        for part, capacity in some:
            chosen = rows[:, : places(s, capacity)]
            made = part(flat.index_select(0, chosen.flatten()))
            if counted is not None:
                # Of a text that is filled up as many as without: its own share of its own tokens.
                place = torch.arange(s, device=x.device)
                inside = (place < places(counted, capacity))[:, : chosen.shape[1]]  # [n, k]
                made = made * inside.flatten()[:, None]
            found = found.index_put((chosen.flatten(),), made.to(found.dtype), accumulate=True)
        return found.reshape(x.shape)


def places(tokens: Count, capacity: int) -> Count:
    """How many of `tokens` have a learner."""
    return (tokens * capacity + WHOLE - 1) // WHOLE
