"""What the student is trained towards: teacher outputs and labels in the form, and on the scale, that the loss wants.

Values of a regression can be of any size, and a learning rate fits only one. So a student of values learns standardised
ones, and the scale is folded into its last layer when it is done; class logits stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze.guides.answers import Labels

_VALUES = ("mse", "cosine")


@dataclass(frozen=True)
class Target:
    """Standardised = (value - mean) / spread, `mean`: [c]. `loss`: the key in LOSSES."""

    loss: str
    mean: NDArray[np.float32]
    spread: float

    def teacher(self, logits: NDArray[np.float32]) -> Tensor:
        """[n, c] outputs of the teacher as the loss wants them."""
        return torch.from_numpy(np.asarray((logits - self.mean) / self.spread, np.float32))

    def labels(self, labels: NDArray[np.generic] | None) -> Tensor | None:
        """Class numbers [n], shares of classes [n, c] or values; None when the loss has no use for this kind."""
        if labels is None or self.loss == "cosine":
            return None
        outputs = len(self.mean)
        whole = np.issubdtype(labels.dtype, np.integer)
        if self.loss == "mse":
            return None if whole else self.teacher(_as_rows(labels, outputs))
        if self.loss == "bce":
            # Shares of two classes, of which the one logit stands for the second.
            one = labels[:, 1] if outputs == 1 and labels.shape[1:] == (2,) else labels
            return torch.from_numpy(one.astype(np.float32))
        if whole:
            return torch.from_numpy(labels.astype(np.int64))
        shares = labels.shape[1:] == (outputs,)
        return torch.from_numpy(labels.astype(np.float32)) if shares else None

    def quality(self, student: Tensor, teacher: Tensor) -> tuple[str, float]:
        """Name and value of how near the student is, both [n, c] standardised: points, or the relative error."""
        if self.loss == "mse":
            return "error", float((student - teacher).square().mean().sqrt())
        if self.loss == "cosine":
            return "cosine", 100 * float(nn.functional.cosine_similarity(student, teacher).mean())
        if self.loss == "bce":
            return "agreement", 100 * float(((student > 0) == (teacher > 0)).float().mean())
        return "agreement", 100 * float((student.argmax(1) == teacher.argmax(1)).float().mean())

    @torch.no_grad()
    def fold(self, classifier: nn.Linear) -> None:
        """Puts mean and spread into the last layer, so that it gives values as the teacher does."""
        if self.loss not in _VALUES:
            return
        classifier.weight.mul_(self.spread)
        if classifier.bias is not None:
            classifier.bias.mul_(self.spread).add_(torch.from_numpy(self.mean))


def target(loss: str, labels: Labels) -> Target:
    """The target for a loss, on the scale of the teacher's outputs."""
    mean = np.zeros(labels.calibrate.shape[1], np.float32)
    if loss not in _VALUES:
        return Target(loss, mean, 1.0)
    found, spread = labels.moments()
    if loss == "cosine":  # an angle has no offset to take away
        spread = float(np.sqrt(spread**2 + np.square(found).mean()))
    else:
        mean = found
    return Target(loss, mean, spread if spread > 0 else 1.0)


def _as_rows(labels: NDArray[np.generic], outputs: int) -> NDArray[np.float32]:
    values = labels.astype(np.float32)
    return values.reshape(-1, 1) if outputs == 1 else values
