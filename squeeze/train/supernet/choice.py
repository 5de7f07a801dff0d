"""Which part of a weight-sharing encoder is best inside a budget, by what each loses on samples that were held out.

AutoDistil's lightweight search: nothing is trained for it, every part is asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squeeze.students.encoder import Params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.progress import Progress
    from squeeze.train.supernet.learner import SuperLM

Json = dict[str, Any]  # Any: JSON

_ALIGNED = 16
_LEAST_RANK = 1 / 8  # of the width of the table


@dataclass(frozen=True)
class Scored:
    """A part, what it costs for a sample of so many tokens as the data has, and its loss on held-out samples."""

    params: Params
    parameters: int
    macs: int
    loss: float

    def to_json(self) -> Json:
        sizes = {n: getattr(self.params, n) for n in ("layers", "hidden", "heads", "ffn")}
        return {**sizes, "parameters": self.parameters, "macs": self.macs, "loss": self.loss}


def score_all(
    learner: SuperLM, children: Sequence[Params], tokens: int, samples: int, progress: Progress
) -> list[Scored]:
    """Every one of `children` on the same `samples` held-out samples."""
    batches = learner.held_batches(samples)
    found = []
    for i, child in enumerate(children, 1):
        costs = child.costs(tokens)
        loss = learner.held_loss(child, batches)
        found.append(Scored(child, costs.params, costs.macs, loss))
        progress.update(i, len(children), "parts")
    return found


def best(scored: Sequence[Scored], macs: float, params: float, tokens: int) -> Scored | None:
    """The one with the least loss inside both limits, for samples of `tokens`; of equals the cheaper one. None where
    none is inside.

    Where no table of words leaves room for a part, it gets one of as many columns as there is room for.
    """
    for fitted in (_whole, _narrow) if math.isfinite(params) else (_whole,):
        made = [found for s in scored if (found := fitted(s, params, tokens)) is not None]
        inside = [s for s in made if s.macs <= macs and s.parameters <= params]
        if inside:
            return min(inside, key=lambda s: (s.loss, s.macs))
    return None


def _whole(scored: Scored, params: float, tokens: int) -> Scored | None:
    return scored


def _narrow(scored: Scored, params: float, tokens: int) -> Scored | None:
    """With the widest table that there is room for; None where that is less than an eighth of the width, and for
    images, which have none."""
    sizes = scored.params
    if not sizes.vocabulary:
        return None
    width = sizes.table_width
    beside = scored.parameters - sizes.vocabulary * width
    room = int((params - beside) // (sizes.vocabulary + width))
    rank = room // _ALIGNED * _ALIGNED
    if not _LEAST_RANK * width <= rank < width:
        return None
    small = sizes.model_copy(update={"rank": rank})
    costs = small.costs(tokens)
    return replace(scored, params=small, parameters=costs.params, macs=costs.macs)
