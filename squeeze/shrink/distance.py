"""How far a network that was not trained is from its teacher: as a share of how far one constant answer is.

Of classes it is the total variation of their probabilities, about the share of samples that are answered otherwise. The
loss of a training would not do: it grows with the square of all differences of logits, so that of a teacher whose
logits say much of classes that are out of the question it is small beside that of a constant answer, although every
fourth answer is another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from squeeze.losses import Space

_LEAST = 1e-12  # of a teacher that says the same of everything


def share_of_constant(
    logits: Tensor, wanted: Tensor, space: Space, loss: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """0 for the teacher's own answers, 1 for what is as far as the mean of them. logits, wanted [n, c]: what is judged
    and the teacher's; loss(logits, wanted): of what is neither classes nor yes or no."""
    if space == "classes":
        return _apart(logits.softmax(1), wanted.softmax(1))
    if space == "yes-no":
        return _apart(logits.sigmoid(), wanted.sigmoid())
    constant = loss(wanted.mean(0, keepdim=True).expand_as(wanted), wanted)
    return float(loss(logits, wanted) / constant.clamp_min(_LEAST))


def _apart(answers: Tensor, wanted: Tensor) -> float:
    constant = (wanted.mean(0, keepdim=True) - wanted).abs().sum()
    return float((answers - wanted).abs().sum() / constant.clamp_min(_LEAST))
