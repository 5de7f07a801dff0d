"""Importances of heads and channels that are asked once, of weights as they are. One function a file:

score(encoder, seen, seed=...) -> Parts      the encoder is left as it was found

`movement` beside them is a training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from squeeze.prune.encoders.importances import distillation, head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.prune.encoders.planning import Parts
    from squeeze.prune.encoders.seen import Seen
    from squeeze.students.encoder import Encoder


class Score(Protocol):
    """See above."""

    def __call__(self, encoder: Encoder, seen: Sequence[Seen], *, seed: int) -> Parts: ...


IMPORTANCES: dict[str, Score] = {
    "distillation": distillation.score,
    "head": head.score,
}
