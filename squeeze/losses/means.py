"""What the teacher says of each class, in the mean over the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import target_of

if TYPE_CHECKING:
    from squeeze.losses.loss import Start
    from squeeze.outputs import Outputs

_PURE = 0.9  # the share of a class from which on a sample is no blend


def class_means(start: Start, of: Callable[[Outputs[Tensor]], Tensor]) -> Tensor:
    """[c, d]: the mean of `of` (answers -> [n, d]) over the samples of each class, blends left out.

    Zeros for a class without samples. Classes are by label, without labels by the teacher's first choice.
    """
    classes = start.teacher.logits.shape[1]
    sums = torch.zeros(classes, of(start.teacher).shape[1], dtype=torch.float64)
    counts = torch.zeros(classes, dtype=torch.float64)
    for answers, labels in start.answers():
        members = functional.one_hot(target_of(labels, answers.logits), classes).double()
        members = members * pure(labels, len(members))[:, None]
        sums += members.T @ of(answers).double()
        counts += members.sum(0)
    return (sums / counts.clamp_min(1)[:, None]).float()


def pure(labels: Tensor | None, count: int) -> Tensor:
    """[n] whether a sample is of one class and not a blend of two."""
    if labels is None or labels.ndim == 1:
        return torch.ones(count, dtype=torch.bool)
    return labels.amax(1) > _PURE
