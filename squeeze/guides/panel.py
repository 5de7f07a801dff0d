"""Several teachers of classes that answer as one: by their mean probabilities (Shen and Savvides, "MEAL V2: Boosting
Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks", 2020), or for each sample the best of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from squeeze.teacher import Teacher

Array = NDArray[Any]  # Any: labels of any type
Logits = NDArray[np.float32]
How = Literal["best", "mean"]


@dataclass(frozen=True)
class Panel:
    """`others` are asked beside the teacher, whose weight is 1; `weights`: theirs."""

    others: tuple[Teacher, ...]
    weights: tuple[float, ...]
    how: How = "mean"

    def key(self) -> dict[str, Any]:  # Any: JSON
        """Who answers, and how they are joined; weights count in the mean alone."""
        found = {"others": [one.digest for one in self.others], "how": self.how}
        return found | ({"weights": list(self.weights)} if self.how == "mean" else {})

    def joined(self, answers: Sequence[Logits], labels: Array | None) -> Logits:
        """One answer [n, c] of those of the teacher and the others, each [n, c]. labels: as the data has them."""
        if self.how == "mean":
            return mean(answers, (1.0, *self.weights))
        return best(answers, labels)


def mean(answers: Sequence[Logits], weights: Sequence[float]) -> Logits:
    """The logarithms of the weighted mean of probabilities, [n, c]: logits whose softmax it is."""
    shares = np.log(np.asarray(weights, np.float64) / np.sum(weights))
    probabilities = np.stack([log_softmax(z.astype(np.float64), axis=1) for z in answers])
    found: Logits = logsumexp(probabilities + shares[:, None, None], axis=0).astype(np.float32)
    return found


def best(answers: Sequence[Logits], labels: Array | None) -> Logits:
    """Of each sample the answer [c] with the least cross-entropy to its label; without labels the surest one, of the
    least entropy. Of equals the first."""
    stacked = np.stack(answers)
    log_p = log_softmax(stacked.astype(np.float64), axis=2)
    shares = _shares(labels, stacked.shape[2])
    wanted = np.exp(log_p) if shares is None else shares
    chosen = -(wanted * np.maximum(log_p, -1e4)).sum(2)
    found: Logits = stacked[chosen.argmin(0), np.arange(stacked.shape[1])]
    return found


def _shares(labels: Array | None, classes: int) -> Array | None:
    """[n, c], or None where labels are not of these classes."""
    if labels is None:
        return None
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        found: Array = np.eye(classes)[labels]
        return found
    return labels if labels.shape[1:] == (classes,) else None
