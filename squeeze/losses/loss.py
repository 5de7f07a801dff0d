"""What every loss says of itself, so that nobody else keeps a list of losses.

space: what the outputs are for it
    "classes"     logits of which one is right; near is the same first choice
    "yes-no"      logits that are right or wrong each for itself; near is the same sign
    "values"      real numbers; learned standardised, the scale is folded into the last layer afterwards
    "directions"  real numbers that are compared by their angle; scaled, but without an offset to take away
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

if TYPE_CHECKING:
    from squeeze.outputs import Outputs

Space = Literal["classes", "directions", "values", "yes-no"]


class Loss(nn.Module):
    """A scalar in float32 for a batch: how far the student is from the teacher, who gets no gradient.

    Made with `temperature` and `label_weight`; a loss that has no use for one of them takes it all the same. Labels are
    None or, by its space: class numbers [n] or shares of classes [n, c]; 0..1 [n, c] (or [n] for one output); real
    numbers [n, c] as the data has them, standardised; never any for directions.
    """

    needs: ClassVar[frozenset[str]] = frozenset()  # names of the taps that it reads, of both
    fewest_outputs: ClassVar[int] = 1
    space: ClassVar[Space]

    def __init__(self, temperature: float = 4.0, label_weight: float = 0.1) -> None:
        super().__init__()
        self.temperature, self.label_weight = temperature, label_weight

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        """Logits [n, c] and the taps in `needs` of both. Each loss has its own."""
        raise NotImplementedError
