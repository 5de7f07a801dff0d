"""Expected calibration error (Guo et al. 2017): how far a classifier's confidence is from how often it is right.

Samples are put into 15 bins of equal width by the probability of the class that is answered; each bin's share of right
answers is held against its mean probability, and bins count by their samples.
"""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import classes, floats, probabilities, whole
from squeeze.metrics.metric import Array, Floats

BINS = 15


def calibration_error(outputs: Array, labels: Array, reference: Array) -> float | None:
    """In percent. outputs, reference: [n, c], or [n, 1] and [n] where one number tells two classes apart; labels: [n].
    reference: the teacher's, which tells logits from probabilities; outputs that are probabilities stay as they are.

    None where there is no probability of the answer: integers; and several probabilities a sample that do not add up to
    1, each for itself.
    """
    if whole(outputs) or not (likeliest := _likeliest(outputs, reference)).size:
        return None
    right = classes(outputs, reference).reshape(-1) == labels
    # The first bin has 0, too; each other one its upper end, but not its lower one.
    bins = np.clip(np.ceil(likeliest * BINS) - 1, 0, BINS - 1).astype(np.int64)
    confidence = np.bincount(bins, likeliest, BINS)
    accuracy = np.bincount(bins, right, BINS)
    return float(100 * np.abs(accuracy - confidence).sum() / len(labels))


def _likeliest(outputs: Array, reference: Array) -> Floats:
    """The probability of the class that is answered, [n]; none where there is none."""
    scores, known = (floats(x).reshape(len(x), -1) for x in (outputs, reference))
    if scores.shape[1] == 1:
        one = scores[:, 0] if probabilities(known) else 1 / (1 + np.exp(-scores[:, 0]))
        return np.asarray(np.clip(np.maximum(one, 1 - one), 0, 1))
    if probabilities(known, rows=True):
        return np.asarray(np.clip(scores.max(axis=1), 0, 1))
    if probabilities(known):
        return np.empty(0)
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(1 / exponents.sum(axis=1))
