"""The teachers' mean probabilities, and a judge who tells the student from them (Shen and Savvides, "MEAL V2: Boosting
Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks", 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


_NARROWEST = 8


class MEAL(Loss):
    """cross-entropy(softmax(teacher), student) + judge * binary cross-entropy of a small network that says of
    probabilities whether they are the teacher's.

    The judge learns to tell them apart and the student to be taken for the teacher, by a gradient that is turned round
    and `reversal` as strong; with reversal = -1 both learn to be told apart, which is what the released code does.
    Uses no labels and no temperature. Logits [n, c].
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True
    pace: ClassVar[float] = 0.01  # the authors' 1e-4 beside 0.01

    def __init__(
        self,
        temperature: float = 1.0,
        label_weight: float = 0.0,
        judge: float = 1.0,
        reversal: float = 1.0,
    ) -> None:
        super().__init__(temperature, label_weight)
        if judge < 0:
            raise ValueError(f"judge must be 0 or more (got {judge:g})")
        self.judge, self.reversal = judge, reversal

    def prepare(self, start: Start) -> None:
        """Makes the judge: c -> c / 2 -> c / 4 -> 2, and no layer so narrow that it may be silent from the start."""
        c = start.student.logits.shape[1]
        sizes = (c, max(_NARROWEST, c // 2), max(_NARROWEST, c // 4))
        self.network = nn.Sequential(
            nn.Linear(sizes[0], sizes[1]),
            nn.ReLU(),
            nn.Linear(sizes[1], sizes[2]),
            nn.ReLU(),
            nn.Linear(sizes[2], 2),
        )

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        p = functional.softmax(teacher.logits.float().detach(), 1)
        soft = functional.cross_entropy(logits, p)
        if self.judge == 0:
            return soft
        q = functional.softmax(logits, 1)
        turned = q.detach() * (1 + self.reversal) - q * self.reversal  # q, with another gradient
        said = self.network(torch.cat([p, turned]))
        truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]], device=said.device)
        wanted = truth.repeat_interleave(len(p), 0)
        return soft + self.judge * functional.binary_cross_entropy_with_logits(said, wanted)
