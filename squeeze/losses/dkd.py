"""The target class and the others apart (Zhao et al., "Decoupled Knowledge Distillation", 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, target_of

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class DKD(Loss):
    """(1 - w) * t^2 * (KL of the target's share + beta * KL among the others) + w * cross-entropy(labels).

    With labels the target is the label (of a blend: the larger part), without them the teacher's first choice. Logits
    [n, c], c >= 3.
    """

    fewest_outputs: ClassVar[int] = 3
    space: ClassVar[Space] = "classes"

    def __init__(
        self, temperature: float = 4.0, label_weight: float = 0.1, beta: float = 2.0
    ) -> None:
        super().__init__(temperature, label_weight)
        self.beta = beta

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        target = target_of(labels, reference)
        share, others = decoupled(logits / self.temperature, reference / self.temperature, target)
        soft = self.temperature**2 * (share + self.beta * others).mean()
        return self.hardened(soft, logits, labels)


def decoupled(student: Tensor, teacher: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """KL of (target, rest) and KL among the rest, [n] each; logits [n, c] already divided by the temperature.

    KL(p || q) = first + (1 - p_target) * second.
    """
    mask = functional.one_hot(target, student.shape[1]).bool()
    log_p, log_q = functional.log_softmax(teacher, 1), functional.log_softmax(student, 1)
    share = torch.zeros_like(log_p[:, 0])
    for chosen in (mask, ~mask):
        a = log_p.masked_fill(~chosen, -torch.inf).logsumexp(1)
        b = log_q.masked_fill(~chosen, -torch.inf).logsumexp(1)
        share = share + a.exp() * (a - b)
    rest = log_p.shape[1] - 1
    others_p = functional.log_softmax(teacher[~mask].view(-1, rest), 1)
    others_q = functional.log_softmax(student[~mask].view(-1, rest), 1)
    return share, (others_p.exp() * (others_p - others_q)).sum(1)
