"""Several losses at once, each with a weight of its own that may change on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.losses.loss import Loss, Moment, Start

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


@dataclass(frozen=True)
class Share:
    """A loss, and what it counts at the first and at the last step; in between in a straight line."""

    loss: Loss
    weight: float
    end_weight: float

    def at(self, moment: Moment) -> float:
        """What it counts at a step."""
        way = moment.step / max(1, moment.steps - 1)
        return self.weight + (self.end_weight - self.weight) * way


class Weighted(Loss):
    """sum over terms of weight * term. It needs what its terms need; they agree on what outputs are.

    Raises ValueError where they don't, or where none of them reads outputs.
    """

    def __init__(self, shares: Mapping[str, Share]) -> None:
        super().__init__()
        self.shares = dict(shares)
        self.terms = nn.ModuleDict({name: share.loss for name, share in shares.items()})
        losses = [share.loss for share in shares.values()]
        spaces = {loss.space: name for name, loss in self.read_outputs().items()}
        if len(spaces) != 1:
            said = ", ".join(f"'{name}' {space}" for space, name in spaces.items())
            raise ValueError(
                f"its terms take outputs for different things: {said or 'none'}; take those of one kind"
            )
        (space,) = spaces
        for name, share in shares.items():
            if share.loss.beside not in (None, space):
                raise ValueError(
                    f"'{name}' is for {share.loss.beside}, and the outputs are {space}"
                )
        # What a class says of itself this one can only say when it knows its terms.
        self.space = space  # type: ignore[misc]
        self.needs = frozenset().union(*(loss.needs for loss in losses))  # type: ignore[misc]
        own = (loss.of_student for loss in losses)
        self.of_student = frozenset().union(*own)  # type: ignore[misc]
        self.prepares = any(loss.prepares for loss in losses)  # type: ignore[misc]
        now = torch.tensor([share.weight for share in shares.values()])
        self.register_buffer("now", now, persistent=False)
        self.now: Tensor

    def read_outputs(self) -> dict[str, Loss]:
        """The terms that read more than taps."""
        shares = self.shares.items()
        return {name: s.loss for name, s in shares if s.loss.space != "features"}

    def prepare(self, start: Start) -> None:
        """Prepares the terms that want it."""
        for share in self.shares.values():
            if share.loss.prepares:
                share.loss.prepare(start)

    def begin(self, moment: Moment) -> None:
        """Sets the weights of the step."""
        self.now.copy_(torch.tensor([share.at(moment) for share in self.shares.values()]))
        for share in self.shares.values():
            share.loss.begin(moment)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        found = [share.loss(student, teacher, labels) for share in self.shares.values()]
        return (self.now * torch.stack(found)).sum()
