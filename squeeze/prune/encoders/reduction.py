"""A float graph of a text encoder with fewer heads and channels: rounds, as in `squeeze.prune.reduction`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import nn

from squeeze import students
from squeeze.prune.encoders.cut import Cut, cut
from squeeze.prune.encoders.planning import plan
from squeeze.prune.reduction import Kind, Reduced, reduce_by
from squeeze.spec import ArchSpec
from squeeze.students.encoder import Encoder
from squeeze.train.supernet.inherited import encoder_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.prune.encoders.importances import Score
    from squeeze.prune.encoders.seen import Seen
    from squeeze.prune.making import Making
    from squeeze.spec import PrunePart

Cutter = Callable[[Encoder, float], Cut]


def by_scores(
    score: Score, seen: Sequence[Seen], part: PrunePart, *, tokens: int, seed: int
) -> Cutter:
    """What removes the parts that matter least by `score`."""

    def made(encoder: Encoder, share: float) -> Cut:
        stays = plan(
            score(encoder, seen, seed=seed),
            encoder.params,
            tokens=tokens,
            share=share,
            scope=part.scope,
            align=part.align,
        )
        return cut(encoder, stays, tokens)

    return made


def reduce_encoder(
    model: ir.Model,
    part: PrunePart,
    cutter: Cutter,
    making: Making,
    *,
    tokens: int,
) -> Reduced:
    """`model`, an optimised float graph of a text encoder, with about `part.ratio` of its MACs for `tokens` fewer.

    Raises UnsupportedError for other graphs, and what they raise.
    """

    def of_encoder(module: nn.Module, share: float) -> Cut:
        assert isinstance(module, Encoder)  # what `encoder_of` reads
        return cutter(module, share)

    def described(encoder: Encoder) -> ArchSpec:
        params = encoder.params.model_dump(mode="json")
        return ArchSpec(family=students.ENCODER, params=params)

    return reduce_by(
        Kind(encoder_of, described, lambda encoder: encoder.params.costs(tokens).macs),
        encoder_of(model),
        model,
        of_encoder,
        part,
        making,
    )
