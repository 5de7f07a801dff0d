"""Structured pruning: fewer channels, smaller shapes.

score = partial(importance("distillation"), batches=batches, loss=None)
pruned = prune_once(module, example, ratio=0.3, score=score)       about 30 % fewer MACs
found = iterate(module, example, rounds=3, ratio=0.2, ...)         with training in between, undone where not faster
"""

from __future__ import annotations

from squeeze.prune.counting import macs
from squeeze.prune.importances import IMPORTANCES, importance
from squeeze.prune.iterate import Iterated, Round, iterate
from squeeze.prune.structured import Pruned, Widths, prune_once
from squeeze.prune.units import Batch, Block, Scores, Unit

__all__ = [
    "IMPORTANCES",
    "Batch",
    "Block",
    "Iterated",
    "Pruned",
    "Round",
    "Scores",
    "Unit",
    "Widths",
    "importance",
    "iterate",
    "macs",
    "prune_once",
]
