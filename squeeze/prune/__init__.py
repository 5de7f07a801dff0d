"""Structured pruning: fewer channels, smaller shapes.

made = reduce(graph, interface, example, part, making, ...)           a graph with fewer channels, or why there is none
found = iterate(module, example, rounds=3, ratio=0.2, ...)         with training in between, undone where not cheaper
pruned = prune_once(module, example, ratio=0.3, score=score)       about 30 % fewer MACs

Heads and channels of text encoders are in `encoders`.
"""

from __future__ import annotations

from squeeze.prune.counting import macs
from squeeze.prune.importances import IMPORTANCES, importance
from squeeze.prune.making import Making
from squeeze.prune.reduction import Reduced, reduce, refusal
from squeeze.prune.rounds import Iterated, Round, iterate
from squeeze.prune.samples import samples_of
from squeeze.prune.structured import Pruned, Widths, prune_once
from squeeze.prune.units import Bundle, Samples, Scores, Unit

__all__ = [
    "IMPORTANCES",
    "Bundle",
    "Iterated",
    "Making",
    "Pruned",
    "Reduced",
    "Round",
    "Samples",
    "Scores",
    "Unit",
    "Widths",
    "importance",
    "iterate",
    "macs",
    "prune_once",
    "reduce",
    "refusal",
    "samples_of",
]
