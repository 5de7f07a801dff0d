"""What every loss says of itself, so that nobody else keeps a list of losses.

space: what the outputs are for it
    "classes"     logits of which one is right; near is the same first choice
    "yes-no"      logits that are right or wrong each for itself; near is the same sign
    "values"      real numbers; learned standardised, the scale is folded into the last layer afterwards
    "directions"  real numbers that are compared by their angle; scaled, but without an offset to take away
    "places"      logits [n, c, ...places] of which class is right at each place; near is the same first choices
    "features"    not read: the loss looks at taps alone, so another one has to teach the last layer
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from squeeze.outputs import Outputs

Space = Literal["classes", "directions", "features", "places", "values", "yes-no"]


@dataclass(frozen=True)
class Start:
    """What a loss may see before the first step, on the CPU.

    student, teacher: outputs for a few samples, with the taps that the loss needs. views: how many different views of
    the data the training sees. answers(): what the teacher says of one view of every sample with the labels, some
    samples at a time.
    """

    student: Outputs[Tensor]
    teacher: Outputs[Tensor]
    views: int
    answers: Callable[[], Iterator[tuple[Outputs[Tensor], Tensor | None]]]


@dataclass(frozen=True)
class Moment:
    """Where a training is. `step` of `steps`, the first being 0. seen: [n] the number of each view in the batch, below
    `Start.views`, the same whenever that view comes again; None where nobody counts them."""

    step: int
    steps: int
    seen: Tensor | None = None


class Loss(nn.Module):
    """A scalar in float32 for a batch: how far the student is from the teacher, who gets no gradient.

    Made with `temperature` and `label_weight`; a loss that has no use for one of them takes it all the same. Further
    arguments are numbers that a recipe may give; ValueError says what is wrong with one. Labels are
    None or, by its space: class numbers [n] or shares of classes [n, c]; 0..1 [n, c] (or [n] for one output); real
    numbers [n, c] as the data has them, standardised; class numbers [n, ...places]; never any for directions.

    Its parameters learn with the student's and go no further; those, and buffers, are in the checkpoints.
    """

    needs: ClassVar[frozenset[str]] = frozenset()  # names of the taps that it reads, of both
    of_student: ClassVar[frozenset[str]] = frozenset()  # further taps, of the student alone
    fewest_outputs: ClassVar[int] = 1
    space: ClassVar[Space]
    # Whether `prepare` has to be called, for parameters or buffers whose sizes depend on the networks.
    prepares: ClassVar[bool] = False
    # Of a loss on features: the space of those that it goes beside, where it reads labels or classes.
    beside: ClassVar[Space | None] = None
    # What it counts beside a loss that reads outputs, where a recipe says nothing but its name.
    weight: ClassVar[float] = 1.0
    # The rate of its own parameters, as a share of the student's.
    pace: ClassVar[float] = 1.0

    def __init__(self, temperature: float = 4.0, label_weight: float = 0.1) -> None:
        super().__init__()
        above_zero(temperature=temperature)
        if not 0 <= label_weight <= 1:
            raise ValueError(f"label_weight must be in 0..1 (got {label_weight:g})")
        self.temperature, self.label_weight = temperature, label_weight

    def __call__(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        """`forward` in float32, whatever is around it."""
        with torch.autocast(student.logits.device.type, enabled=False):
            found: Tensor = super().__call__(student, teacher, labels)
        return found

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        """Logits [n, c] and the taps in `needs` of both, in `of_student` of one. Each loss has its own."""
        raise NotImplementedError

    def prepare(self, start: Start) -> None:
        """Makes what the networks and their answers decide; called once, on the CPU, where `prepares` says so."""

    def begin(self, moment: Moment) -> None:
        """Before each step: what follows from how far the training is."""

    @property
    def student_taps(self) -> frozenset[str]:
        """All that it reads of the student beside logits."""
        return self.needs | self.of_student

    def hardened(self, soft: Tensor, logits: Tensor, labels: Tensor | None) -> Tensor:
        """(1 - w) * soft + w * cross-entropy(labels), w the label weight; without labels w counts as 0."""
        if labels is None or self.label_weight == 0:
            return soft
        hard = functional.cross_entropy(logits, labels)
        return (1 - self.label_weight) * soft + self.label_weight * hard


def above_zero(**options: float) -> None:
    """Raises ValueError for an option that is not."""
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0 (got {value:g})")


def target_of(labels: Tensor | None, reference: Tensor) -> Tensor:
    """The class [n] that a sample is of: its label (of a blend the larger part), without labels the first choice of
    `reference` [n, c]."""
    known = reference if labels is None else labels
    return known.argmax(1) if known.ndim == 2 else known
