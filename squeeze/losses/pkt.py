"""How likely each sample is another's neighbour (Passalis and Tefas, "Learning Deep Representations with Probabilistic
Knowledge Transfer", ECCV 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


_LEAST = 1e-7  # of a probability


class PKT(Loss):
    """mean over pairs of p * log(p / q), rows of p (teacher) and q (student) being (1 + cosine) / 2 to all samples of
    the batch, normalised.

    Embeddings [n, d] of any widths. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"
    weight: ClassVar[float] = 30_000.0

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        q = neighbours(student.taps["embedding"])
        p = neighbours(teacher.taps["embedding"]).detach()
        return (p * ((p + _LEAST) / (q + _LEAST)).log()).mean()


def neighbours(embedding: Tensor) -> Tensor:
    """[n, n] probabilities, rows of sum 1."""
    rows = functional.normalize(embedding.float(), dim=1)
    found = (rows @ rows.T + 1) / 2
    return found / found.sum(1, keepdim=True).clamp_min(_LEAST)
