"""Which student's embedding is of which sample, told by the teacher's (Tian et al., "Contrastive Representation
Distillation", ICLR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start, above_zero

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class CRD(Loss):
    """mean over samples of -log softmax over the teacher's samples of <student, teacher> / contrast, at the sample
    itself: the other samples of the batch stand in for the paper's memory of 16,384.

    Embeddings [n, d] of both, by a linear layer each to `width` and to length 1. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True
    weight: ClassVar[float] = 0.8

    def __init__(
        self,
        temperature: float = 4.0,
        label_weight: float = 0.1,
        contrast: float = 0.07,
        width: float = 128,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(contrast=contrast, width=width)
        self.contrast, self.width = contrast, int(width)

    def prepare(self, start: Start) -> None:
        """Makes the layers."""
        given = (o.taps["embedding"].shape[1] for o in (start.student, start.teacher))
        self.ours, self.theirs = (nn.Linear(d, self.width) for d in given)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        s = functional.normalize(self.ours(student.taps["embedding"].float()), dim=1)
        t = functional.normalize(self.theirs(teacher.taps["embedding"].float().detach()), dim=1)
        own = torch.arange(len(s), device=s.device)
        return functional.cross_entropy(s @ t.T / self.contrast, own)
