"""More levels for the layers that the loss asks most of, fewer for the others (Polino et al., ICLR 2018, section 3.2).

Taken once, at the start of a training, from batches that are functions of their numbers: a training that was killed
finds the same levels again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from squeeze.train.batches import Batch
    from squeeze.train.loop import Learner

FEWEST = 2
MOST = 16  # what an index in a file can say
_BATCHES = 8


def gradient_norms(
    learner: Learner, weights: Sequence[Tensor], batch_at: Callable[[int], Batch]
) -> list[float]:
    """The norm of the loss's gradient by each of `weights`, the mean over a few batches; nothing else changes.

    The learner's modules are in eval mode, so that statistics stay.
    """
    sums = [0.0] * len(weights)
    for step in range(_BATCHES):
        batch = batch_at(step)
        loss = learner.loss(learner.outputs(batch.x), batch.answers, batch.labels)
        gradients = torch.autograd.grad(loss, list(weights))
        sums = [s + float(g.norm()) for s, g in zip(sums, gradients, strict=True)]
    return [s / _BATCHES for s in sums]


def redistribute(levels: Sequence[int], norms: Sequence[float], most: int = MOST) -> list[int]:
    """Levels for each tensor, the same in total, by the norms of its gradients.

    Half of its levels stay with a tensor, the rest is given in proportion to the norms. Never fewer than 2 nor more
    than `most`, which no tensor has more of to begin with.
    """
    total = sum(levels)
    half = [max(n // 2, FEWEST) for n in levels]
    left, weight = total - sum(half), sum(norms)
    found = [
        min(h + round(left * n / weight), most) if weight else h
        for h, n in zip(half, norms, strict=True)
    ]
    while (excess := sum(found) - total) != 0:
        # Surplus is taken from the largest, what is missing goes to the smallest.
        if excess > 0:
            found[found.index(max(found))] -= 1
        else:
            found[found.index(min(found))] += 1
    return found
