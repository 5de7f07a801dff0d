"""The teacher's softened class probabilities (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from squeeze.interface import Outputs


class KD(nn.Module):
    """(1 - w) * t^2 * KL(softmax(teacher / t) || softmax(student / t)) + w * cross-entropy(labels).

    Sum over classes, mean over the batch. Without labels w counts as 0. Logits [n, c]; labels [n] or [n, c] shares.
    """

    def __init__(self, temperature: float = 4.0, label_weight: float = 0.1) -> None:
        super().__init__()
        self.temperature, self.label_weight = temperature, label_weight

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        log_q = functional.log_softmax(logits / self.temperature, 1)
        with torch.no_grad():
            log_p = functional.log_softmax(teacher.logits.float() / self.temperature, 1)
        divergence = functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
        soft = self.temperature**2 * divergence
        if labels is None or self.label_weight == 0:
            return soft
        hard = functional.cross_entropy(logits, labels)
        return (1 - self.label_weight) * soft + self.label_weight * hard
