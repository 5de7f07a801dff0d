"""How much labels count beside a guide's answers, where nobody says it.

In closed form (after Borup and Andersen, "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen Regularization
Imposed by Self-Distillation", NeurIPS 2021). Ridge regression is linear in what it is fitted to: one that is fitted to
a * labels + (1 - a) * answers predicts a * u + (1 - a) * v, where u and v are the predictions of two that are fitted to
the labels and to the answers. So the a by which held-out labels y are predicted best is known from two fits:

    a = <y - v, u - v> / |u - v|^2, cut off at 0 and 1

The inputs of the regression are random features, of what a small network has before it has learned anything.

Where samples are left out, a rule of thumb: the guide counts more the fewer there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEATURES = 512
_RIDGE = 0.01  # of the mean square of a feature, for each sample
_SLOPE, _LEAST = 0.6, 0.4


def best_weight(truth: Array, by_labels: Array, by_guide: Array) -> float:
    """The a of the formula above: held-out labels and both predictions of them, [n, c] each. 0 where the two fits say
    the same, for then labels add nothing."""
    apart = by_labels - by_guide
    length = float((apart * apart).sum())
    if length == 0:
        return 0.0
    return float(np.clip(((truth - by_guide) * apart).sum() / length, 0, 1))


def held_out(
    x: Array, labels: Array, answers: Array, other_x: Array, truth: Array, seed: int
) -> float:
    """`best_weight` of two regressions on samples x [n, f], to their labels and to the guide's answers [n, c], by what
    they predict of `truth` [m, c] from other_x [m, f]."""
    mean, spread = x.mean(0), x.std(0) + 1e-9
    weights = np.random.default_rng([seed, _FEATURES]).normal(size=(x.shape[1], _FEATURES))
    weights /= np.sqrt(x.shape[1])

    def features(rows: Array) -> Array:
        return np.asarray(np.maximum((rows - mean) / spread @ weights, 0))

    given = features(x)
    centre = given.mean(0)
    given = given - centre
    targets = np.concatenate([labels, answers], axis=1)
    level = targets.mean(0)
    square = given.T @ given
    square.flat[:: _FEATURES + 1] += _RIDGE * np.trace(square) / _FEATURES
    fitted = np.linalg.solve(square, given.T @ (targets - level))
    predicted = (features(other_x) - centre) @ fitted + level
    by_labels, by_guide = np.split(predicted, 2, axis=1)
    return best_weight(truth, by_labels, by_guide)


def weight_of_few(keep: float) -> float:
    """What labels count where the share `keep` of samples is trained with: the guide has 1 - 0.6 keep, at least 0.4."""
    return 1 - float(np.clip(1 - _SLOPE * keep, _LEAST, 1))
