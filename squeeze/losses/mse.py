"""The teacher's values as they are, for regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class MSE(Loss):
    """(1 - w) * mean squared error to the teacher + w * mean squared error to the labels.

    Labels count only when they are real numbers of the outputs' shape, [n, c] or [n] for c = 1. `temperature` has no
    meaning here.
    """

    space: ClassVar[Space] = "values"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        values = student.logits.float()
        soft = functional.mse_loss(values, teacher.logits.float().detach())
        if labels is None or self.label_weight == 0 or not labels.is_floating_point():
            return soft
        if labels.numel() != values.numel():
            return soft
        hard = functional.mse_loss(values, labels.float().view_as(values))
        return (1 - self.label_weight) * soft + self.label_weight * hard
