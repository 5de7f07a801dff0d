"""The teacher's softened class probabilities at each place: Hinton et al., "Distilling the Knowledge in a Neural
Network", 2015, for outputs that are maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from squeeze.losses.loss import Loss, Space
from squeeze.losses.places import hardened, placed

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class PixelKD(Loss):
    """(1 - w) * t^2 * KL(softmax(teacher / t) || softmax(student / t)) + w * cross-entropy(labels).

    Sum over classes, mean over samples and places. Logits [n, c, ...places]; labels [n, ...places], 255 for places that
    do not count for them.
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "places"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = placed(student.logits), placed(teacher.logits.detach())
        log_p, log_q = ((z / self.temperature).log_softmax(1) for z in (reference, logits))
        soft = self.temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1).mean()
        return hardened(self, soft, logits, labels)
