"""The teacher's probabilities alone, in both directions (Cui et al., "Beyond Self-Supervision: A Simple Yet Effective
Network Distillation Alternative to Improve Backbones", 2021)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class SSLD(Loss):
    """KL(teacher || middle) / 2 + KL(student || middle) / 2, the middle of both: in 0..log 2, mean over the batch.

    Uses no labels and no temperature, so it is for data without labels and for much of it. Logits [n, c].
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        log_q = functional.log_softmax(student.logits.float(), 1)
        log_p = functional.log_softmax(teacher.logits.float().detach(), 1)
        middle = torch.stack([log_p, log_q]).logsumexp(0) - math.log(2)
        parts = (log.exp() * (log - middle) for log in (log_p, log_q))
        return 0.5 * sum(parts, torch.zeros_like(log_q)).sum(1).mean()
