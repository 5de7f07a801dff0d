"""Where a network looks (Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.errors import ConfigError
from squeeze.losses.loss import Loss, Space, Start
from squeeze.losses.maps import level

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class AT(Loss):
    """mean squared difference of attention: the mean over channels of squared features at each place, of length 1 over
    the places.

    Of the last map, at the places of the smaller. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    space: ClassVar[Space] = "features"
    prepares: ClassVar[bool] = True
    weight: ClassVar[float] = 1000.0

    def prepare(self, start: Start) -> None:
        """Raises ConfigError for maps that have one place, whose attention is always the same."""
        ours, _ = level(*(o.taps["feature_map"] for o in (start.student, start.teacher)))
        if ours[0, 0].numel() == 1:
            raise ConfigError(
                "distill.loss: 'at' compares places, and the feature maps of teacher and student have one in common;"
                " use 'rkd' or another loss on embeddings"
            )

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = level(student.taps["feature_map"], teacher.taps["feature_map"].detach())
        return (attention(ours) - attention(theirs)).square().mean()


def attention(feature_map: Tensor) -> Tensor:
    """[n, places]."""
    return functional.normalize(feature_map.square().mean(1).flatten(1), dim=1)
