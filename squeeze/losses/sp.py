"""Which samples of a batch are alike, by feature maps (Tung and Mori, "Similarity-Preserving Knowledge Distillation",
ICCV 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class SP(Loss):
    """The squared distance of both networks' matrices of products between samples, rows of length 1, over n^2.

    Feature maps [n, ...] of any sizes. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"
    weight: ClassVar[float] = 3000.0

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours = alike(student.taps["feature_map"])
        return (ours - alike(teacher.taps["feature_map"]).detach()).square().mean()


def alike(feature_map: Tensor) -> Tensor:
    """[n, n] products between samples, each row of length 1."""
    rows = feature_map.float().flatten(1)
    return functional.normalize(rows @ rows.T, dim=1)
