"""What each part of a weight-sharing convolutional network loses on samples that were held out, and which are inside.

Nothing is trained for it. The statistics of normalisation are taken anew for each part, for those of another part are
not its own (Cai et al., "Once-for-All", 2020, and before them Yu and Huang, 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from squeeze.shrink.supernet.slices import Part
from squeeze.train import norms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.progress import Progress
    from squeeze.shrink.children import Seen
    from squeeze.shrink.supernet.slices import Slices
    from squeeze.students import Network

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Scored:
    """A part, what it costs for a sample (ms and bytes of its int8 form guessed), and its loss on held-out samples."""

    part: Part
    parameters: int
    macs: int
    ms: float
    bytes: int
    loss: float

    def to_json(self) -> Json:
        return {**self.part.model_dump(mode="json"), **{n: getattr(self, n) for n in _NUMBERS}}

    @classmethod
    def from_json(cls, row: Json) -> Scored:
        part = Part(units=row["units"], depths=row["depths"])
        return cls(part, **{name: row[name] for name in _NUMBERS})


_NUMBERS = ("parameters", "macs", "ms", "bytes", "loss")


def settled(slices: Slices, weights: Mapping[str, Tensor], part: Part, seen: Seen) -> Network:
    """A part as a network of its own, in eval mode, with statistics of the samples to fit."""
    child = slices.child(weights, part)
    layers = [layer for layer in child.modules() if isinstance(layer, norms.NORMS)]
    norms.estimate(child, layers, (batch.x for batch in seen.fit))
    return child


def score(
    slices: Slices,
    weights: Mapping[str, Tensor],
    parts: Sequence[Part],
    seen: Seen,
    progress: Progress,
) -> list[Scored]:
    """Every one of `parts` on the same held-out samples."""
    held = seen.held
    assert held.teacher is not None
    found = []
    for i, part in enumerate(parts, 1):
        macs, parameters, costs = slices.costs(part)
        with torch.no_grad():
            logits = settled(slices, weights, part, seen)(held.x)
        loss = float(seen.loss(logits, held.teacher))
        found.append(Scored(part, parameters, macs, costs.ms, int(costs.bytes), loss))
        progress.update(i, len(parts), "parts")
    return found
