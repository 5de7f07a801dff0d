"""How many tokens each learner gets in a file: what gates ask for at the price that makes it the wanted share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from squeeze.students.encoder.learners import WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.encoder import AdaptiveEncoder, Learners

_MOST_PRICE = 50.0
_HALVINGS = 50


def gates_of(encoder: AdaptiveEncoder, batches: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """What the gates say, of each layer [tokens that count, N + 1], each token with the learners that it asks for."""
    found: list[list[Tensor]] = [[] for _ in encoder.of_layers]
    inner = encoder.encoder
    for tensors in batches:
        given = dict(zip(inner.params.inputs, tensors, strict=True))
        counted, said = inner.counted(given) > 0, list[Tensor]()

        def asked(
            learners: Learners, x: Tensor, mask: Tensor | None, said: list[Tensor] = said
        ) -> Tensor:
            said.append(learners.gate(x))
            chosen = said[-1].argmax(-1, keepdim=True)
            numbers = torch.arange(len(learners.parts), device=x.device)
            return learners.opened(x, (chosen > numbers).to(x.dtype))

        with torch.no_grad():
            encoder.taps(*tensors, way=asked)
        for rows, one in zip(found, said, strict=True):
            rows.append(one[counted].float().cpu())
    return [torch.cat(rows) for rows in found]


def capacities(gates: Sequence[Tensor], compute: float) -> list[list[int]]:
    """Of each layer and learner, in 64ths of the tokens, about a share `compute` of all of them.

    A token takes the k for which its gate, less the price of k learners, says most; the price, which may be a reward,
    is the lowest at which the mean is no more than `compute`. Rounded up.
    """
    low, high = -_MOST_PRICE, _MOST_PRICE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _share(gates, middle) > compute else (low, middle)
    return [
        [math.ceil(WHOLE * share - 1e-9) for share in _usage(one, high).tolist()] for one in gates
    ]


def _share(gates: Sequence[Tensor], price: float) -> float:
    return float(torch.stack([_usage(one, price).mean() for one in gates]).mean())


def _usage(gate: Tensor, price: float) -> Tensor:
    """[N], the share of tokens that ask for learner n."""
    counts = torch.arange(gate.shape[1], dtype=gate.dtype)
    chosen = (gate - price * counts).argmax(1, keepdim=True)
    return (chosen >= counts[1:]).double().mean(0)
