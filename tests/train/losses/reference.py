"""What NumPy says of logits, written without torch, for the tests of losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze.losses import Loss, Start
from squeeze.outputs import Outputs

SAMPLES, CLASSES = 12, 5
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Logits [n, c] of both, labels [n]."""

    student: Tensor
    teacher: Tensor
    labels: Tensor

    @property
    def arrays(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """The same as NumPy has them."""
        return self.student.numpy(), self.teacher.numpy(), self.labels.numpy()


def softmax(z: Array) -> Array:
    """Of rows."""
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def kl(p: Array, q: Array) -> Array:
    """[n], of rows."""
    return np.asarray((p * np.log(p / q)).sum(1))


def cross_entropy(z: Array, y: NDArray[np.int64]) -> float:
    """Mean over rows."""
    return float(-np.log(softmax(z)[np.arange(len(y)), y]).mean())


def seen(logits: Tensor, **taps: Tensor) -> Outputs[Tensor]:
    """Outputs of these."""
    return Outputs(logits, taps)


def start(
    student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None = None
) -> Start:
    """A training on these samples alone, each in one view."""

    def answers() -> Iterator[tuple[Outputs[Tensor], Tensor | None]]:
        yield teacher, labels

    return Start(student, teacher, len(student.logits), answers)


def found(loss: Loss, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> float:
    """The value of a loss on logits."""
    return loss(Outputs(student), Outputs(teacher), labels).item()


def gradient(loss: Loss, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """By the student's logits."""
    z = student.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(Outputs(z), Outputs(teacher), labels), z)
    return found
