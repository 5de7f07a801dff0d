"""The teacher's features from a part of the student's (Yang et al., "Masked Generative Distillation", ECCV 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start
from squeeze.losses.maps import convolution, level, regression

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class MGD(Loss):
    """The squared difference of the teacher's feature map and what two 3x3 convolutions make of the student's, of which
    a share of the channels is hidden, anew for each sample and step; sum over a map, mean over the batch.

    At the places of the smaller map, behind a 1x1 convolution where the widths differ. Uses no temperature and no
    labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True
    weight: ClassVar[float] = 7e-5

    def __init__(
        self, temperature: float = 4.0, label_weight: float = 0.1, hidden: float = 0.15
    ) -> None:
        super().__init__(temperature, label_weight)
        if not 0 <= hidden < 1:
            raise ValueError(f"hidden must be in 0..1, below 1 (got {hidden:g})")
        self.hidden = hidden

    def prepare(self, start: Start) -> None:
        """Makes the convolutions."""
        ours, theirs = level(*(o.taps["feature_map"] for o in (start.student, start.teacher)))
        d = theirs.shape[1]
        self.align = nn.Identity() if ours.shape[1] == d else convolution(ours, d)
        first, second = convolution(theirs, d, 3), regression(theirs, theirs, 3)
        self.generator = nn.Sequential(first, nn.ReLU(), second)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = level(student.taps["feature_map"], teacher.taps["feature_map"].detach())
        found = self.align(ours)
        shape = (*found.shape[:2], *[1] * (found.ndim - 2))
        # Torch's own generator: the training seeds it at every step.
        shown = torch.rand(shape, device=found.device) >= self.hidden
        made = self.generator(found * shown)
        return functional.mse_loss(made, theirs, reduction="sum") / len(made)
