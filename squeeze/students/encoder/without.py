"""An encoder without some of its heads and channels: what is left computes what the whole one does with these at 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from squeeze.students.encoder.network import Encoder
from squeeze.students.encoder.params import Widths

if TYPE_CHECKING:
    from collections.abc import Sequence


def without(
    encoder: Encoder, heads: Sequence[Sequence[int]], ffn: Sequence[Sequence[int]]
) -> Encoder:
    """A copy, in eval mode, that keeps `heads` and `ffn`: of each layer the numbers of those that stay, one or more."""
    params, size = encoder.params, encoder.params.head_size
    widths = [Widths(heads=len(h), ffn=len(f)) for h, f in zip(heads, ffn, strict=True)]
    made: dict[str, Tensor] = {}
    for name, value in encoder.state_dict().items():
        part, *rest = name.split(".")
        if part == "layers":
            layer, kind, what = int(rest[0]), rest[1], rest[2]
            wide = (torch.tensor(heads[layer])[:, None] * size + torch.arange(size)).flatten()
            if kind in ("query", "key", "value"):
                value = value[wide]
            elif kind == "up":
                value = value[torch.tensor(ffn[layer])]
            elif what == "weight" and kind in ("out", "down"):
                value = value[:, wide if kind == "out" else torch.tensor(ffn[layer])]
        made[name] = value.detach().clone()
    found = Encoder(params.with_widths(widths))
    found.load_state_dict(made)
    return found.eval()
