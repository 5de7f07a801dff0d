"""Which part of a weight-sharing encoder is best inside a budget, by what each loses on texts that were held out.

AutoDistil's lightweight search: nothing is trained for it, every part is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.students.encoder import Params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.progress import Progress
    from squeeze.train.supernet.learner import SuperLM

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Scored:
    """A part, what it costs for a sample of so many tokens as the data has, and its loss on held-out texts."""

    params: Params
    parameters: int
    macs: int
    loss: float

    def to_json(self) -> Json:
        sizes = {n: getattr(self.params, n) for n in ("layers", "hidden", "heads", "ffn")}
        return {**sizes, "parameters": self.parameters, "macs": self.macs, "loss": self.loss}


def score_all(
    learner: SuperLM, children: Sequence[Params], tokens: int, texts: int, progress: Progress
) -> list[Scored]:
    """Every one of `children` on the same `texts` held-out texts."""
    batches = learner.held_batches(texts)
    found = []
    for i, child in enumerate(children, 1):
        costs = child.costs(tokens)
        loss = learner.held_loss(child, batches)
        found.append(Scored(child, costs.params, costs.macs, loss))
        progress.update(i, len(children), "parts")
    return found


def best(scored: Sequence[Scored], macs: float, params: float) -> Scored | None:
    """The one with the least loss inside both limits; of equals the cheaper one. None where none is inside."""
    inside = [s for s in scored if s.macs <= macs and s.parameters <= params]
    return min(inside, key=lambda s: (s.loss, s.macs), default=None)
