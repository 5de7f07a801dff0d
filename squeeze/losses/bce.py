"""Independent yes-or-no outputs: one logit for two classes, or several labels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class BCE(Loss):
    """(1 - w) * t^2 * KL(sigmoid(teacher / t) || sigmoid(student / t)) + w * binary cross-entropy(labels).

    Sum over outputs, mean over the batch. Logits [n, c]; labels [n] for c = 1, else [n, c], in 0..1; labels of another
    shape don't count.
    """

    space: ClassVar[Space] = "yes-no"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        a, b = reference / self.temperature, logits / self.temperature
        p = torch.sigmoid(a)
        log = functional.logsigmoid
        divergence = p * (log(a) - log(b)) + (1 - p) * (log(-a) - log(-b))
        soft = self.temperature**2 * divergence.sum(1).mean()
        if labels is None or self.label_weight == 0 or labels.numel() != logits.numel():
            return soft
        target = labels.to(logits.dtype).view_as(logits)
        hard = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (1 - self.label_weight) * soft + self.label_weight * hard.sum(1).mean()
