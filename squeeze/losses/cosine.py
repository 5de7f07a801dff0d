"""Direction first, then size: for embeddings which are compared by angle."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class Cosine(Loss):
    """mean(1 - cos(student, teacher)) + mean squared error; outputs [n, d], d >= 2. Uses no labels."""

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "directions"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        values, reference = student.logits.float(), teacher.logits.float().detach()
        angle = 1 - functional.cosine_similarity(values, reference, dim=1).mean()
        return angle + functional.mse_loss(values, reference)
