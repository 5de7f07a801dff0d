"""How far the batch of the student's probabilities has to be moved to be the teacher's (Cui et al., "Sinkhorn
Distance Minimization for Knowledge Distillation", 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, above_zero

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class SinKD(Loss):
    """(1 - w) * the Sinkhorn distance of a batch + w * cross-entropy(labels).

    D_ij = sum of |student i - teacher j| over softened probabilities; the distance is the mean over samples of D under
    the plan that exp(-D / regularisation) becomes when rows and columns are normalised by turns. Its authors add it to
    `kd`. Logits [n, c].
    """

    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def __init__(
        self,
        temperature: float = 2.0,
        label_weight: float = 0.1,
        regularisation: float = 0.1,
        rounds: float = 20,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(regularisation=regularisation, rounds=rounds)
        self.regularisation, self.rounds = regularisation, int(rounds)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        q, p = (functional.softmax(z / self.temperature, 1) for z in (logits, reference))
        cost = (q[:, None] - p[None]).abs().sum(2)
        plan = transport(cost, self.regularisation, self.rounds)
        return self.hardened((plan * cost).sum() / len(cost), logits, labels)


def transport(cost: Tensor, regularisation: float, rounds: int) -> Tensor:
    """The plan [n, n] for a cost [n, n]: columns sum to 1, rows nearly. By logarithms: exp(-cost) may be nothing."""
    plan = -cost / regularisation
    for _ in range(rounds):
        plan = plan - plan.logsumexp(1, keepdim=True)
        plan = plan - plan.logsumexp(0, keepdim=True)
    return plan.exp()
