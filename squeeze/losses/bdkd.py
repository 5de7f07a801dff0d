"""Both directions of the divergence, weighted by who is surer (Amara et al., "BD-KD: Balancing the Divergences for
Online Knowledge Distillation", 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class BDKD(Loss):
    """(1 - w) * t^2 * (a * KL(teacher || student) + b * KL(student || teacher)) + w * cross-entropy(labels).

    Of each sample a = 1 + balance where the student is surer than the teacher (lower entropy), else b = 1 + balance;
    the other is 1. The paper trains the teacher along; here it stays as it is. Logits [n, c].
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def __init__(
        self, temperature: float = 4.0, label_weight: float = 0.1, balance: float = 1.0
    ) -> None:
        super().__init__(temperature, label_weight)
        if balance < 0:
            raise ValueError(f"balance must be 0 or more (got {balance:g})")
        self.balance = balance

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        log_q, log_p = (
            functional.log_softmax(z / self.temperature, 1) for z in (logits, reference)
        )
        q, p = log_q.exp(), log_p.exp()
        with torch.no_grad():
            surer = (q * log_q).sum(1) > (p * log_p).sum(1)
        forward = (p * (log_p - log_q)).sum(1) * (1 + self.balance * surer)
        reverse = (q * (log_q - log_p)).sum(1) * (1 + self.balance * ~surer)
        soft = self.temperature**2 * (forward + reverse).mean()
        return self.hardened(soft, logits, labels)
