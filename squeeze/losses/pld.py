"""The whole ranking of the classes, the label first (Bassam et al., "PLD: A Choice-Theoretic List-Wise Knowledge
Distillation", NeurIPS 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, target_of

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class PLD(Loss):
    """sum over places k of p_k * (logsumexp of the student's logits from place k on - the logit at k), mean over the
    batch: the likelihood that the student draws the classes in this order, each place by the teacher's confidence p_k
    = softmax(teacher / t).

    The order is the label (of a blend the larger part; without labels the teacher's first choice), then the other
    classes as the teacher has them. The first place is a cross-entropy, so `label_weight` has no meaning here. Logits
    [n, c], c >= 2.
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        target = target_of(labels, reference)
        first = functional.one_hot(target, logits.shape[1]).bool()
        order = reference.masked_fill(first, torch.inf).argsort(dim=1, descending=True, stable=True)
        ranked = logits.gather(1, order)
        confidence = functional.softmax(reference / self.temperature, 1).gather(1, order)
        left = ranked.flip(1).logcumsumexp(1).flip(1)
        return (confidence * (left - ranked)).sum(1).mean()
