"""What leaving out a head or a channel changes of what the encoder says, to second order: no labels are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.prune.encoders.planning import Parts
from squeeze.train.supernet.importance import curvature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.prune.encoders.seen import Seen
    from squeeze.students.encoder import Encoder


def score(encoder: Encoder, seen: Sequence[Seen], *, seed: int) -> Parts:
    """The mean over batches of `curvature`: that by which the weights of a network are sorted for students that are
    parts of it."""
    found = curvature(encoder, [batch.x for batch in seen], seed=seed)
    heads, ffn = (
        [values.double().numpy() / len(seen) for values in kind]
        for kind in (found.heads, found.ffn)
    )
    return Parts(heads, ffn)
