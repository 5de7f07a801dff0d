"""How sure teachers are of a sample together, by which samples of nobody's data are told from those of the set (after
Tang et al., "Distribution Shift Matters for Knowledge Distillation with Webly Collected Images", ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from squeeze.guides.panel import Logits, mean


def joint_confidence(answers: Sequence[Logits], weights: Sequence[float]) -> NDArray[np.float32]:
    """[n] in 0..1: the largest of the weighted mean probabilities of all teachers, each [n, c]; large only where they
    are sure of the same class."""
    found: NDArray[np.float32] = np.exp(mean(answers, weights).max(1))
    return found


def as_sure(
    extra: NDArray[np.float32], own: NDArray[np.float32], share: float
) -> NDArray[np.bool_]:
    """[n] which samples of `extra` are at least as sure as all but the least sure `share` of the set's `own`."""
    # The lower one, so that of equal samples as many are kept as there are of the set's.
    return np.asarray(extra >= np.quantile(own, share, method="lower"))
