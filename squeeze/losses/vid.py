"""As much of the teacher's features as the student's tell of them (Ahn et al., "Variational Information Distillation
for Knowledge Transfer", CVPR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start
from squeeze.losses.maps import convolution, level, regression

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


_VARIANCE = 5.0  # of each channel at first
_LEAST = 1e-5


class VID(Loss):
    """0.5 * mean of (teacher - mean)^2 / variance + log variance: the teacher's feature map as a Gaussian, its mean two
    1x1 convolutions of the student's map, its variance one number for each channel; both learn.

    At the places of the smaller map. Uses no temperature and no labels. It goes below 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True

    def prepare(self, start: Start) -> None:
        """Makes the convolutions and the variances."""
        ours, theirs = level(*(o.taps["feature_map"] for o in (start.student, start.teacher)))
        channels = theirs.shape[1]
        first = convolution(ours, channels)
        self.mean = nn.Sequential(first, nn.ReLU(), regression(theirs, theirs))
        raw = torch.full((channels,), _VARIANCE - _LEAST).expm1().log()
        self.raw = nn.Parameter(raw)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = level(student.taps["feature_map"], teacher.taps["feature_map"].detach())
        variance = functional.softplus(self.raw) + _LEAST
        error = (theirs - self.mean(ours)).square().transpose(1, -1)  # channels last
        found: Tensor = 0.5 * (error / variance + variance.log()).mean()
        return found
