"""How samples of a batch go together, by a kernel (Peng et al., "Correlation Congruence for Knowledge Distillation",
ICCV 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, above_zero

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class CC(Loss):
    """mean over pairs of the squared difference of exp(-gamma * |a - b|^2) in teacher and student, embeddings of length
    1. The paper takes the first terms of its series; here it is exact.

    Embeddings [n, d] of any widths. Uses no temperature and no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    space: ClassVar[Space] = "features"
    weight: ClassVar[float] = 10.0

    def __init__(
        self, temperature: float = 4.0, label_weight: float = 0.1, gamma: float = 0.4
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(gamma=gamma)
        self.gamma = gamma

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours = self.kernel(student.taps["embedding"])
        return (ours - self.kernel(teacher.taps["embedding"]).detach()).square().mean()

    def kernel(self, embedding: Tensor) -> Tensor:
        """[n, n] in 0..1."""
        rows = functional.normalize(embedding.float(), dim=1)
        return (2 * self.gamma * (rows @ rows.T - 1)).exp()
