"""The teacher's classes for students of another kind (Hao et al., "One-for-All: Bridge the Gap Between Heterogeneous
Architectures in Knowledge Distillation", NeurIPS 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.loss import Loss, Space, Start, above_zero, target_of
from squeeze.losses.maps import convolution, level

if TYPE_CHECKING:
    from squeeze.outputs import Outputs


class OFA(Loss):
    """(1 - w) * (l(student) + exits * l(an exit of its own)) + w * cross-entropy(labels), l(z) = -sum over classes of
    ((p + [target])^power - [target]) * log softmax(z), p = softmax(teacher).

    A power above 1 trusts the teacher more about the target and less about the others; 1 is the cross-entropy to p.
    The exit (separable convolution, ReLU, mean, linear) stands at the student's last feature map; the paper has one at
    each stage. Uses no temperature. Without labels the target is the teacher's first choice. Logits [n, c].
    """

    of_student: ClassVar[frozenset[str]] = frozenset({"feature_map"})
    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"
    prepares: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 1.0,
        label_weight: float = 0.5,
        power: float = 1.5,
        exits: float = 1.0,
    ) -> None:
        super().__init__(temperature, label_weight)
        above_zero(power=power)
        if exits < 0:
            raise ValueError(f"exits must be 0 or more (got {exits:g})")
        self.power, self.exits = power, exits

    def prepare(self, start: Start) -> None:
        """Makes the exit."""
        seen = start.student
        here, _ = level(seen.taps["feature_map"], seen.taps["feature_map"])
        width, classes = here.shape[1], seen.logits.shape[1]
        separable = (convolution(here, width, 3, groups=width), convolution(here, width))
        self.branch, self.head = nn.Sequential(*separable, nn.ReLU()), nn.Linear(width, classes)

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        logits, reference = student.logits.float(), teacher.logits.float().detach()
        target = target_of(labels, reference)
        wanted = enhanced(functional.softmax(reference, 1), target, self.power)
        soft = functional.cross_entropy(logits, wanted)
        if self.exits:
            here, _ = level(student.taps["feature_map"], student.taps["feature_map"])
            out = self.head(self.branch(here).flatten(2).mean(2))
            soft = soft + self.exits * functional.cross_entropy(out, wanted)
        return self.hardened(soft, logits, labels)


def enhanced(p: Tensor, target: Tensor, power: float) -> Tensor:
    """The teacher's probabilities [n, c] with that of the target raised and the others lowered, for a power above 1."""
    own = functional.one_hot(target, p.shape[1])
    return (p + own) ** power - own
