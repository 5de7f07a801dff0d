"""Where each class is, channel by channel (Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV
2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from squeeze.losses.loss import Loss, Space
from squeeze.losses.places import divergence_over, hardened, placed

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class CWD(Loss):
    """(1 - w) * t^2 * KL(softmax over places of a channel, teacher || student) + w * cross-entropy(labels).

    The mean over channels and samples.

    What is added to a whole channel changes nothing: which class wins has to be learned from labels, or from `pixel_kd`
    beside it. Logits [n, c, ...places]; labels [n, ...places], 255 for places that do not count for them.
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "places"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = placed(student.logits), placed(teacher.logits.detach())
        everywhere = torch.ones_like(reference[:, 0], dtype=torch.bool)
        soft = divergence_over(everywhere, logits, reference, self.temperature)
        return hardened(self, soft, logits, labels)
