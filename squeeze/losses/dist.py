"""Relations instead of values (Huang et al., "Knowledge Distillation from A Stronger Teacher", 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class DIST(Loss):
    """(1 - w) * t^2 * (inter + intra) + w * cross-entropy(labels).

    inter = 1 - Pearson correlation of student and teacher probabilities over the classes of a sample, mean over
    samples; intra = the same over the samples of the batch for each class (wants 32 or more). Logits [n, c], c >= 3.
    """

    fewest_outputs: ClassVar[int] = 3
    space: ClassVar[Space] = "classes"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        q = functional.softmax(logits / self.temperature, 1)
        with torch.no_grad():
            p = functional.softmax(teacher.logits.float() / self.temperature, 1)
        soft = self.temperature**2 * (distance(q, p) + distance(q.T, p.T))
        return self.hardened(soft, logits, labels)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - Pearson correlation of rows of a and b, [m, k] each, mean over rows; in 0..2."""
    a = a - a.mean(1, keepdim=True)
    b = b - b.mean(1, keepdim=True)
    return 1 - functional.cosine_similarity(a, b, dim=1, eps=1e-8).mean()
