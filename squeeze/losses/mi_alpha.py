"""A bound of the information that student and teacher share (He et al., "Distiller: A Systematic Study of Model
Distillation Methods in Natural Language Processing", 2021)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start, above_zero

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class MIAlpha(Loss):
    """-(1 + mean over own pairs of log(e^f / d) - mean over all pairs of e^f / d), d = alpha * m + (1 - alpha) * q.

    f: the product of both embeddings, by a linear layer each to `width` and to length 1, over `contrast`; m the mean of
    e^f over the batch's students for a teacher's sample, q a number that learns. alpha = 1 is InfoNCE, whose bound is
    log n; at 0 nothing is biased and all varies. Embeddings [n, d]. Uses no temperature and no labels. It goes below 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 4.0,
        label_weight: float = 0.1,
        alpha: float = 0.9,
        contrast: float = 0.1,
        width: float = 128,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(contrast=contrast, width=width)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in 0..1 (got {alpha:g})")
        self.alpha, self.contrast, self.width = alpha, contrast, int(width)

    def prepare(self, start: Start) -> None:
        """Makes the layers, and q = 1."""
        given = (o.taps["embedding"].shape[1] for o in (start.student, start.teacher))
        self.ours, self.theirs = (nn.Linear(d, self.width) for d in given)
        self.log_q = nn.Parameter(torch.zeros(()))

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        s = functional.normalize(self.ours(student.taps["embedding"].float()), dim=1)
        t = functional.normalize(self.theirs(teacher.taps["embedding"].float().detach()), dim=1)
        return -information(s @ t.T / self.contrast, self.alpha, self.log_q)


def information(critic: Tensor, alpha: float, log_q: Tensor) -> Tensor:
    """The bound, in nats. critic: [n, n], student by row and teacher by column, own pairs on the diagonal."""
    log_m = critic.logsumexp(0) - math.log(len(critic))
    parts = [(alpha, log_m), (1 - alpha, log_q.expand_as(log_m))]
    log_d = torch.stack([math.log(share) + x for share, x in parts if share > 0]).logsumexp(0)
    return 1 + (critic.diagonal() - log_d).mean() - (critic - log_d).exp().mean()
