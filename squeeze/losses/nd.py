"""Norm and direction of the embedding (Wang et al., "Improving Knowledge Distillation via Regularizing Feature Norm and
Direction", 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start, target_of
from squeeze.losses.means import class_means

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class ND(Loss):
    """mean of 1 - <s, e> / max(|s|, |t|): 0 where the student's embedding s points where the class does and is at least
    as long as the teacher's, t.

    e: the direction of the mean of the teacher's embeddings of the sample's class, over the data. The student's is
    brought to the teacher's width by a linear layer where they differ. Embeddings [n, d].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"
    beside: ClassVar[Space | None] = "classes"
    prepares: ClassVar[bool] = True

    def prepare(self, start: Start) -> None:
        """Makes the layer, and finds the directions of the classes."""
        given, wanted = (o.taps["embedding"].shape[1] for o in (start.student, start.teacher))
        same = given == wanted
        self.project = nn.Identity() if same else nn.Linear(given, wanted, bias=False)
        means = class_means(start, lambda answers: answers.taps["embedding"])
        self.register_buffer("directions", functional.normalize(means, dim=1))
        self.directions: Tensor

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours: Tensor = self.project(student.taps["embedding"].float())
        with torch.no_grad():
            length = teacher.taps["embedding"].float().norm(dim=1)
            wanted = self.directions[target_of(labels, teacher.logits)]
        along = (ours * wanted).sum(1)
        return (1 - along / torch.maximum(ours.norm(dim=1), length).clamp_min(1e-12)).mean()
