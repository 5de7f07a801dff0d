"""Distances and angles between embeddings (Park et al., "Relational Knowledge Distillation", CVPR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class RKD(Loss):
    """distances * Huber(d of student, of teacher) + angles * Huber(cosines of student, of teacher).

    d: distances between two samples by their mean; the angle at j between i and k, for all three. Embeddings [n, d] of
    any widths; n^2 d numbers are in memory. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"

    def __init__(
        self,
        temperature: float = 4.0,
        label_weight: float = 0.1,
        distances: float = 25.0,
        angles: float = 50.0,
    ) -> None:
        super().__init__(temperature, label_weight)
        for name, value in (("distances", distances), ("angles", angles)):
            if value < 0:
                raise ValueError(f"{name} must be 0 or more (got {value:g})")
        self.distances, self.angles = distances, angles

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        gaps = between(student.taps["embedding"].float())
        with torch.no_grad():
            known = between(teacher.taps["embedding"].float())
        found = self.distances * functional.smooth_l1_loss(relative(gaps), relative(known))
        if self.angles:
            found = found + self.angles * functional.smooth_l1_loss(cosines(gaps), cosines(known))
        return found


def between(embedding: Tensor) -> Tensor:
    """[n, n, d] from each sample to each."""
    return embedding[None] - embedding[:, None]


def relative(gaps: Tensor) -> Tensor:
    """[n, n] their lengths, 1 in the mean of those above 0."""
    found = _lengths(gaps)
    apart = found > 0
    return found / (found.sum() / apart.sum().clamp_min(1)).clamp_min(1e-12)


def cosines(gaps: Tensor) -> Tensor:
    """[n, n, n] cosines at the first sample between the ways to the two others; 0 where there is no way."""
    ways = gaps / _lengths(gaps).clamp_min(1e-12)[:, :, None]
    return ways @ ways.transpose(1, 2)


def _lengths(gaps: Tensor) -> Tensor:
    squares = gaps.square().sum(2)
    # The root has no gradient at 0, where a sample meets itself.
    apart = squares > 0
    return squares.where(apart, torch.ones_like(squares)).sqrt() * apart
