"""Masks of channels and places that follow student and teacher (Lan and Tian, "ACAM-KD: Adaptive and Cooperative
Attention Masking for Knowledge Distillation", ICCV 2025)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from squeeze.losses.loss import Loss, Space, Start, above_zero
from squeeze.losses.maps import convolution, level, regression

if TYPE_CHECKING:
    from squeeze.outputs import Outputs

_STILL = 1e-6


class ACAM(Loss):
    """The squared difference of feature maps under masks that learn, plus how much the masks overlap.

    The student's map, by a 1x1 convolution where the widths differ, is asked by the teacher's: an attention over places
    whose queries are the teacher's and whose keys and values are the student's, queries half as wide as the map. What
    comes of it makes `units` masks of channels (sigmoid of a number times its mean over places) and of places (sigmoid
    of a 1x1 convolution). Each mask: the mean of the squares that it lets through, by its sum; the mean over masks and
    samples, of both kinds added. Overlap: the mean Dice coefficient of pairs of masks of a kind, times `diversity`.
    Uses no temperature and no labels; for maps of many places it costs their square.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 4.0,
        label_weight: float = 0.1,
        units: float = 4,
        diversity: float = 1.0,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(units=units)
        if diversity < 0:
            raise ValueError(f"diversity must be 0 or more (got {diversity:g})")
        self.units, self.diversity = max(1, int(units)), diversity

    def prepare(self, start: Start) -> None:
        """Makes the convolutions and what the masks learn by."""
        ours, theirs = level(*(o.taps["feature_map"] for o in (start.student, start.teacher)))
        d = theirs.shape[1]
        self.align = nn.Identity() if ours.shape[1] == d else regression(ours, theirs)
        half = max(1, d // 2)
        self.query, self.key = convolution(theirs, half), convolution(theirs, half)
        self.value = convolution(theirs, d)
        self.of_channels = nn.Parameter(torch.randn(self.units))
        self.of_places = nn.Parameter(torch.randn(self.units, d) / math.sqrt(d))

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = level(student.taps["feature_map"], teacher.taps["feature_map"].detach())
        ours = self.align(ours)
        q, k, v = (
            layer(x).flatten(2)
            for layer, x in ((self.query, theirs), (self.key, ours), (self.value, ours))
        )
        # [n, places of the teacher, places of the student]
        attention = (q.transpose(1, 2) @ k / math.sqrt(q.shape[1])).softmax(2)
        fused = v @ attention.transpose(1, 2)  # [n, c, places]
        channels = (self.of_channels[:, None] * fused.mean(2)[:, None]).sigmoid()  # [n, units, c]
        places = torch.einsum("uc,ncp->nup", self.of_places, fused).sigmoid()  # [n, units, places]
        gap = (ours - theirs).square().flatten(2)
        total = masked(gap.mean(2), channels) + masked(gap.mean(1), places)
        return total + self.diversity * (overlap(channels) + overlap(places))


def masked(squares: Tensor, masks: Tensor) -> Tensor:
    """Mean over samples and masks of the mean of `squares` [n, k] under each of `masks` [n, units, k]."""
    through = (squares[:, None] * masks).sum(2)
    return (through / (masks.sum(2) + _STILL)).mean()


def overlap(masks: Tensor) -> Tensor:
    """Mean Dice coefficient of pairs of `masks` [n, units, k], 2 <a, b> / (<a, a> + <b, b>): 1 for equal ones, 0 for a
    single one."""
    units = masks.shape[1]
    if units < 2:
        return masks.new_zeros(())
    products = masks @ masks.transpose(1, 2)
    own = products.diagonal(dim1=1, dim2=2)
    dice = 2 * products / (own[:, :, None] + own[:, None] + _STILL)
    a, b = torch.triu_indices(units, units, offset=1, device=masks.device)
    return dice[:, a, b].mean()
