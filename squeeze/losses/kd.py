"""The teacher's softened class probabilities (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class KD(Loss):
    """(1 - w) * t^2 * KL(softmax(teacher / t) || softmax(student / t)) + w * cross-entropy(labels).

    Sum over classes, mean over the batch. Without labels w counts as 0. Logits [n, c]; labels [n] or [n, c] shares.
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        log_q = functional.log_softmax(logits / self.temperature, 1)
        with torch.no_grad():
            log_p = functional.log_softmax(teacher.logits.float() / self.temperature, 1)
        divergence = functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
        soft = self.temperature**2 * divergence
        return self.hardened(soft, logits, labels)
