"""The target class without its share of the rest (Yang et al., "From Knowledge Distillation to Self-Knowledge
Distillation", ICCV 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, above_zero, target_of

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class NKD(Loss):
    """(1 - w) * (-p_target * log q_target + gamma * t^2 * cross-entropy among the others) + w * cross-entropy(labels).

    The first at temperature 1; the others normalised without the target, softened by t. The target is the label (of a
    blend the larger part), without labels the teacher's first choice. The paper has w = 0.5. Logits [n, c], c >= 3.
    """

    fewest_outputs: ClassVar[int] = 3
    space: ClassVar[Space] = "classes"

    def __init__(
        self, temperature: float = 1.0, label_weight: float = 0.5, gamma: float = 1.5
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(gamma=gamma)
        self.gamma = gamma

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        target = target_of(labels, reference)
        at = target[:, None]
        own = functional.softmax(reference, 1).gather(1, at)
        first = -(own * functional.log_softmax(logits, 1).gather(1, at)).mean()
        rest = ~functional.one_hot(target, logits.shape[1]).bool()
        p, q = (z[rest].view(len(z), -1) / self.temperature for z in (reference, logits))
        others = functional.cross_entropy(q, functional.softmax(p, 1))
        return self.hardened(first + self.gamma * self.temperature**2 * others, logits, labels)
