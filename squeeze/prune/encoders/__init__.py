"""Fewer heads of attention and fewer channels between the linear layers of a text encoder.

found = reduce_encoder(graph, part, cutter, tokens=128, ...)       a graph with fewer of them, or why there is none
by_scores(score, seen, ...), by_movement(batches, ...)             cutters: (encoder, share of the MACs) -> Cut
"""

from __future__ import annotations

from squeeze.prune.encoders.cut import Cut
from squeeze.prune.encoders.importances import IMPORTANCES
from squeeze.prune.encoders.movement import by_movement
from squeeze.prune.encoders.planning import Parts, Plan
from squeeze.prune.encoders.reduction import Cutter, by_scores, reduce_encoder
from squeeze.prune.encoders.seen import Seen, seen_of

__all__ = [
    "IMPORTANCES",
    "Cut",
    "Cutter",
    "Parts",
    "Plan",
    "Seen",
    "by_movement",
    "by_scores",
    "reduce_encoder",
    "seen_of",
]
