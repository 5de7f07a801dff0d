"""Distances and angles between embeddings (Park et al., "Relational Knowledge Distillation", CVPR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


_SAME = 1e-12  # of the mean square: what is nearer is the same sample


class RKD(Loss):
    """distances * Huber(d of student, of teacher) + angles * Huber(cosines of student, of teacher).

    d: distances between two samples by their mean; the angle at j between i and k, for all three. Embeddings [n, d] of
    any widths; n^3 numbers are in memory. Uses no temperature and no labels.
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
        ours = products(student.taps["embedding"])
        with torch.no_grad():
            theirs = products(teacher.taps["embedding"])
        found = self.distances * functional.smooth_l1_loss(relative(ours), relative(theirs))
        if self.angles:
            found = found + self.angles * functional.smooth_l1_loss(cosines(ours), cosines(theirs))
        return found.float()


def products(embedding: Tensor) -> Tensor:
    """[n, n] between embeddings [n, d] that are centred: all that distances and angles depend on. In float64, since
    distances are small differences of it."""
    wide = embedding.double()
    wide = wide - wide.mean(0)
    return wide @ wide.T


def lengths(products: Tensor) -> Tensor:
    """[n, n] distances; 0, and without a gradient, where two samples are the same."""
    own = products.diagonal()
    squares = own[None] + own[:, None] - 2 * products
    apart = squares > _SAME * own.mean()
    # The root has no gradient at 0.
    return squares.where(apart, torch.ones_like(squares)).sqrt() * apart


def relative(products: Tensor) -> Tensor:
    """[n, n] distances, 1 in the mean of those above 0."""
    found = lengths(products)
    return found / (found.sum() / (found > 0).sum().clamp_min(1)).clamp_min(1e-12)


def cosines(products: Tensor) -> Tensor:
    """[n, n, n] in float32, at the first sample between the ways to the two others; 0 where there is no way."""
    found = lengths(products)
    inverse = torch.where(found > 0, 1 / found.where(found > 0, torch.ones_like(found)), 0)
    scale = products.diagonal().mean().clamp_min(1e-300).detach()
    g, inverse = (products / scale).float(), (inverse * scale.sqrt()).float()
    across = g[None] - g[:, :, None] - g[:, None] + g.diagonal()[:, None, None]
    return across * inverse[:, :, None] * inverse[:, None]
