"""The student's own past predictions as the target (Kim et al., "Self-Knowledge Distillation with Progressive
Refinement of Targets", ICCV 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Moment, Space, Start, target_of

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class PSKD(Loss):
    """cross-entropy((1 - a) * label + a * what the student said when it last saw this very view, student).

    a grows from 0 in a straight line to `trust`; for a view that is new it is 0. Without labels the teacher's first
    choice counts as one; the teacher is not read beyond that. `temperature` and `label_weight` have no meaning here.
    The past takes 2 bytes a view and class, in memory and in checkpoints. Logits [n, c].
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True

    def __init__(
        self, temperature: float = 1.0, label_weight: float = 0.0, trust: float = 0.8
    ) -> None:
        super().__init__(temperature, label_weight)
        if not 0 <= trust <= 1:
            raise ValueError(f"trust must be in 0..1 (got {trust:g})")
        self.trust, self.seen = trust, torch.empty(0, dtype=torch.int64)
        self.past: Tensor
        self.register_buffer("share", torch.zeros(()), persistent=False)
        self.share: Tensor

    def prepare(self, start: Start) -> None:
        """Nothing is known of any view."""
        shape = (start.views, start.student.logits.shape[1])
        self.register_buffer("past", torch.zeros(shape, dtype=torch.float16))

    def begin(self, moment: Moment) -> None:
        """How far the past is trusted, and which views come."""
        assert moment.seen is not None  # a training of students counts them
        self.seen = moment.seen.to(self.past.device)
        self.share.fill_(self.trust * moment.step / moment.steps)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        log_q, classes = functional.log_softmax(logits, 1), logits.shape[1]
        if labels is None or labels.ndim == 1:
            hard = functional.one_hot(target_of(labels, teacher.logits), classes).float()
        else:
            hard = labels.float()
        past = self.past[self.seen].float()
        trust = self.share * (past.sum(1, keepdim=True) > 0)
        target = (1 - trust) * hard + trust * past
        if self.training:
            self.past[self.seen] = log_q.detach().exp().half()
        return -(target * log_q).sum(1).mean()
