"""Its own second thoughts instead of a teacher's (Yang et al., "From Knowledge Distillation to Self-Knowledge
Distillation", ICCV 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start, target_of

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


_SMOOTH = 0.1  # of the labels that the weak head learns


class USKD(Loss):
    """-P * log q_target + others * cross-entropy(Zipf, student without the target) + weak * cross-entropy(weak head).

    P = 1 (of a blend the target's share) + q_target^2 - its mean over the batch. Zipf: 1 / rank, normalised, by the
    classes' order in student and weak head together. The weak head is a linear layer on the embedding, which the paper
    has at an earlier stage. Without labels the target is the teacher's first choice; the teacher is not read beyond
    that. Uses no temperature and no label weight. Logits [n, c], c >= 3.
    """

    of_student: ClassVar[frozenset[str]] = frozenset({"embedding"})
    fewest_outputs: ClassVar[int] = 3
    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 1.0,
        label_weight: float = 0.0,
        others: float = 0.1,
        weak: float = 0.005,
    ) -> None:
        super().__init__(temperature, label_weight)
        for name, value in (("others", others), ("weak", weak)):
            if value < 0:
                raise ValueError(f"{name} must be 0 or more (got {value:g})")
        self.others, self.weak = others, weak

    def prepare(self, start: Start) -> None:
        """Makes the weak head."""
        embedding = start.student.taps["embedding"]
        self.head = nn.Linear(embedding.shape[1], start.student.logits.shape[1])

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits = student.logits.float()
        target = target_of(labels, teacher.logits)
        first = functional.one_hot(target, logits.shape[1]).bool()
        log_q = functional.log_softmax(logits, 1)
        value = 1.0 if labels is None or labels.ndim == 1 else labels.float()[first]
        own = refined(log_q.detach()[first].exp(), value)
        total = -(own * log_q[first]).mean()

        weak = self.head(student.taps["embedding"].float())
        ranks = zipf([functional.softmax(z.detach(), 1) for z in (weak, logits)], first)
        rest = functional.log_softmax(logits[~first].view(len(logits), -1), 1)
        total = total - self.others * (ranks * rest).sum(1).mean()
        smooth = torch.where(first, 1 - _SMOOTH, _SMOOTH / (logits.shape[1] - 1))
        return total + self.weak * functional.cross_entropy(weak, smooth)


def refined(own: Tensor, value: Tensor | float) -> Tensor:
    """The targets' soft labels [n]; own: the student's probabilities [n] of them. Their mean is that of `value`."""
    squares = own.square()
    return squares + value - squares.mean()


def zipf(probabilities: list[Tensor], target: Tensor) -> Tensor:
    """Labels [n, c - 1] of the classes but the target (a mask [n, c]), by their sum over `probabilities`, each
    normalised without the target."""
    others = [p[~target].view(len(p), -1) for p in probabilities]
    score = sum((p / p.sum(1, keepdim=True).clamp_min(1e-12) for p in others), torch.zeros(()))
    order = score.argsort(dim=1, descending=True, stable=True)
    places = 1.0 / torch.arange(1, score.shape[1] + 1, device=score.device)
    return torch.zeros_like(score).scatter(1, order, (places / places.sum()).expand_as(score))
