"""The teacher's features themselves, through a layer that learns (Romero et al., "FitNets: Hints for Thin Deep Nets",
ICLR 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start
from squeeze.losses.maps import level, regression

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class FitNet(Loss):
    """mean squared difference of the teacher's feature map and a 1x1 convolution of the student's.

    At the places of the smaller map. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True
    weight: ClassVar[float] = 100.0

    def prepare(self, start: Start) -> None:
        """Makes the convolution."""
        ours, theirs = level(*(o.taps["feature_map"] for o in (start.student, start.teacher)))
        self.regressor = regression(ours, theirs)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = level(student.taps["feature_map"], teacher.taps["feature_map"].detach())
        return functional.mse_loss(self.regressor(ours), theirs)
