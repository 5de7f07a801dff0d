"""Edges and bodies apart (Liu et al., "BPKD: Boundary Privileged Knowledge Distillation For Semantic Segmentation",
WACV 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from squeeze.losses.loss import Loss, Space, above_zero
from squeeze.losses.places import IGNORED, classes_at, divergence_over, edges, hardened, placed

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class BPKD(Loss):
    """(1 - w) * (edge * E + body * B) + w * cross-entropy(labels).

    E: t^2 * KL of the classes, teacher || student, the mean over the edges of the batch. B: t^2 * KL of the places of
    each channel over bodies alone, the mean over channels and samples. An edge is a place with several classes within
    `radius` of it, a body a place without; ignored places are neither. Classes are the labels [n, ...places] (255:
    ignored), without labels the teacher's first choices. Logits [n, c, ...places], of one to three axes of places.
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "places"

    def __init__(
        self,
        temperature: float = 1.0,
        label_weight: float = 0.1,
        edge: float = 1.0,
        body: float = 1.0,
        radius: float = 1,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(edge=edge, body=body)
        if radius < 1 or radius != int(radius):
            raise ValueError(f"radius must be a whole number from 1 on (got {radius:g})")
        self.edge, self.body, self.radius = edge, body, int(radius)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = placed(student.logits), placed(teacher.logits.detach())
        classes = classes_at(labels, reference)
        edge = edges(classes, self.radius)
        body = (classes != IGNORED) & ~edge
        log_p, log_q = ((z / self.temperature).log_softmax(1) for z in (reference, logits))
        each = self.temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1)
        at_edges = (each * edge).sum() / edge.sum().clamp_min(1)
        inside = divergence_over(body, logits, reference, self.temperature)
        return hardened(self, self.edge * at_edges + self.body * inside, logits, labels)
