"""A smaller table of words: [vocabulary, rank] times [rank, width], as ALBERT has it (Lan et al., 2020), but made of a
table that was trained: its principal directions, where words count as often as texts have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.students.encoder.params import Params

# Of a word that the texts do not have, in occurrences.
_UNSEEN = 0.5


def factorised(
    params: Params, state: Mapping[str, Tensor], counts: Tensor, rank: int
) -> tuple[Params, dict[str, Tensor]]:
    """The encoder with a table of `rank` columns. counts: [vocabulary], how often the texts have each word.

    The mean of all rows goes into the positions, of which every token has one. With a rank of that width it
    computes the same.
    """
    table = state["word.weight"].double()  # [v, w]
    weights = (counts.double() + _UNSEEN)[:, None]
    mean = (table * weights).sum(0) / weights.sum()
    around = table - mean
    _, directions = torch.linalg.eigh(around.T @ (around * weights))
    kept = directions.flip(1)[:, :rank]  # [w, r], the largest first
    made = {
        **state,
        "word.weight": (around @ kept).to(state["word.weight"].dtype),
        "factor.weight": kept.to(state["word.weight"].dtype).contiguous(),
        "position.weight": state["position.weight"] + mean.to(state["word.weight"].dtype),
    }
    return params.model_copy(update={"rank": rank}), made
