"""How far to believe teacher and label, sample by sample (Hu et al., "Less or More From Teacher: Exploiting Trilateral
Geometry for Knowledge Distillation", ICLR 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start, above_zero, target_of
from squeeze.losses.means import class_means

if TYPE_CHECKING:
    from squeeze.outputs import Outputs

_WIDTHS = (32, 16)


class TGeo(Loss):
    """mean of a * t^2 * KL(teacher || student) + (1 - a) * cross-entropy(label), a from a small network that looks at
    what student, teacher, label and the teacher's mean for the class say, and how far they are from each other.

    That network learns by looking ahead: what a step by these ratios on one half of the batch would do to the
    cross-entropy of the other half. The step is taken in the student's last layer, where it is exact and needs
    embeddings alone; `reach` is how long it is, for embeddings of length 1. The paper takes it through the whole
    student and judges on samples that are kept apart. Without labels the teacher's first choice counts as one;
    `label_weight` has no meaning here. Logits [n, c].
    """

    of_student: ClassVar[frozenset[str]] = frozenset({"embedding"})
    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True

    def __init__(
        self, temperature: float = 1.5, label_weight: float = 0.0, reach: float = 4.0
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(reach=reach)
        self.reach = reach

    def prepare(self, start: Start) -> None:
        """Makes the network, and finds what the teacher says of each class."""
        means = class_means(start, lambda answers: functional.softmax(answers.logits.float(), 1))
        self.register_buffer("means", means)
        self.means: Tensor
        first, second = _WIDTHS
        self.controller = nn.Sequential(
            nn.Linear(9 * len(means), first),
            nn.LeakyReLU(),
            nn.Linear(first, second),
            nn.LeakyReLU(),
            nn.Linear(second, 1),
        )

    def ratios(self, q: Tensor, p: Tensor, g: Tensor, target: Tensor) -> Tensor:
        """[n, 1] in 0..1: how far the teacher is believed. q, p, g: probabilities [n, c] of student, teacher, label."""
        mean = self.means[target]
        pairs = ((mean, q), (g, q), (p, q), (p, g), (mean, g))
        sides = [(one - other).square() for one, other in pairs]
        found: Tensor = self.controller(torch.cat([q, p, g, mean, *sides], 1)).sigmoid()
        return found

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        target = target_of(labels, reference)
        shares = labels is not None and labels.ndim == 2
        g = labels.float() if shares else functional.one_hot(target, logits.shape[1]).float()  # type: ignore[union-attr]
        t = self.temperature
        soft, p = functional.log_softmax(logits / t, 1), functional.log_softmax(reference / t, 1)
        plain = functional.log_softmax(logits, 1)
        by_teacher = t**2 * (p.exp() * (p - soft)).sum(1, keepdim=True)
        by_label = -(g * plain).sum(1, keepdim=True)
        q = plain.detach().exp()
        ratio = self.ratios(q, functional.softmax(reference, 1), g, target)
        believed = ratio.detach()
        total = (believed * by_teacher + (1 - believed) * by_label).mean()
        if not self.training:
            return total
        # By each sample's logits, of what is added up in `total`.
        pull = ratio * t * (soft.detach().exp() - p.exp()) + (1 - ratio) * (q - g)
        outer = self._ahead(student.taps["embedding"].float().detach(), logits.detach(), pull, g)
        # It teaches the network and has no say in the value.
        return total + outer - outer.detach()

    def _ahead(self, embedding: Tensor, logits: Tensor, pull: Tensor, g: Tensor) -> Tensor:
        """The cross-entropy of each half after a step of the last layer on the other half."""
        half = len(logits) // 2
        if half == 0:
            return pull.sum() * 0
        known = embedding / embedding.square().sum(1).mean().sqrt().clamp_min(1e-12)
        found = torch.zeros((), device=logits.device)
        for train, judge in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
            alike = known[judge] @ known[train].T + 1  # the bias moves, too
            moved = logits[judge] - self.reach * alike @ pull[train] / len(pull[train])
            found = found + functional.cross_entropy(moved, g[judge])
        return found / 2
