"""Direction first, then size: for embeddings which are compared by angle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from squeeze.interface import Outputs


class Cosine(nn.Module):
    """mean(1 - cos(student, teacher)) + mean squared error; outputs [n, d], d >= 2. Uses no labels."""

    def __init__(self, temperature: float = 1.0, label_weight: float = 0.0) -> None:
        super().__init__()

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        values, reference = student.logits.float(), teacher.logits.float().detach()
        angle = 1 - functional.cosine_similarity(values, reference, dim=1).mean()
        return angle + functional.mse_loss(values, reference)
