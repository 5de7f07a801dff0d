"""A target that moves from the student to the teacher (Shing et al., "TAID: Temporally Adaptive Interpolated
Distillation for Efficient Knowledge Transfer in Language Models", ICLR 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Moment, Space, above_zero

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class TAID(Loss):
    """(1 - w) * t^2 * cross-entropy(softmax(((1 - s) * student + s * teacher) / t), student / t) + w *
    cross-entropy(labels), the student within the target taken as it is.

    s goes from `first` to 1: at least in a straight line, faster where the loss falls, by `rate` at most a step. Logits
    [n, c].
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def __init__(
        self,
        temperature: float = 1.0,
        label_weight: float = 0.1,
        first: float = 0.4,
        rate: float = 5e-4,
        momentum: float = 0.99,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(rate=rate)
        for name, value in (("first", first), ("momentum", momentum)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in 0..1, below 1 (got {value:g})")
        self.first, self.rate, self.momentum = first, rate, momentum
        # share: s. trend: of the loss's relative fall. previous, latest: the losses of the last two steps, NaN before.
        for name, value in (("share", first), ("trend", 0.0)):
            self.register_buffer(name, torch.tensor(value))
        for name in ("previous", "latest"):
            self.register_buffer(name, torch.tensor(torch.nan))
        self.share: Tensor
        self.trend: Tensor
        self.previous: Tensor
        self.latest: Tensor

    def begin(self, moment: Moment) -> None:
        """Moves the target on, by what the last two losses say."""
        if moment.step == 0:
            self.share.fill_(self.first)
            return
        # Kept on the device: reading a number would make an accelerator wait at every step.
        fall = ((self.previous - self.latest) / (self.previous + 1e-15)).nan_to_num(0.0)
        known = self.previous.isfinite()
        trend = self.momentum * self.trend + (1 - self.momentum) * fall
        step = self.rate * trend.sigmoid() * (1 - self.share)
        line = self.first + (1 - self.first) * moment.step / max(1, moment.steps - 1)
        self.trend.copy_(torch.where(known, trend, self.trend))
        moved = torch.where(known, self.share + step, self.share)
        self.share.copy_(moved.clamp(min=line, max=1.0))
        self.previous.copy_(self.latest)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        between = (1 - self.share) * logits.detach() + self.share * reference
        target = functional.softmax(between / self.temperature, 1)
        soft = self.temperature**2 * functional.cross_entropy(logits / self.temperature, target)
        if self.training:
            self.latest.copy_(soft.detach())
        return self.hardened(soft, logits, labels)
