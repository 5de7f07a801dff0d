"""An encoder with a factor on each head, on each channel between its linear layers and on each hidden dimension: what
importance is measured by, and what a head or channel that is not there is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.encoder.network import Encoder, Layer
    from squeeze.students.encoder.params import Params


@dataclass(frozen=True)
class Gates:
    """heads, ffn: of each layer, as `Layer` takes them. hidden: [hidden], None for none."""

    heads: Sequence[Tensor]
    ffn: Sequence[Tensor]
    hidden: Tensor | None = None

    @classmethod
    def ones(cls, params: Params, samples: int | None = None) -> Gates:
        """Of heads and channels, all open, with a gradient. samples: gates of their own for each of so many."""
        rows = () if samples is None else (samples,)
        between = () if samples is None else (1,)
        return cls(
            [torch.ones(*rows, w.heads, requires_grad=True) for w in params.widths],
            [torch.ones(*rows, *between, w.ffn, requires_grad=True) for w in params.widths],
        )


def gated(encoder: Encoder, batch: Sequence[Tensor], gates: Gates) -> tuple[Tensor, Tensor]:
    """The output, and the settled states [n, s, hidden] with those of tokens that do not count at 0. batch: in the
    order of the encoder's inputs."""
    given = dict(zip(encoder.params.inputs, batch, strict=True))
    mask = encoder.mask(given)
    hidden = 1.0 if gates.hidden is None else gates.hidden
    x = encoder.embedded(given) * hidden
    added = encoder.added(x, mask)
    layers: Sequence[Layer] = list(encoder.layers)  # type: ignore[arg-type]
    for layer, head, channel in zip(layers, gates.heads, gates.ffn, strict=True):
        x = layer(x, added, head, channel) * hidden
    states = encoder.settled(x)
    counted = states if mask is None else states * mask[:, :, None]
    return encoder.answer(states, mask), counted
