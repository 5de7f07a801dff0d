"""Ranks with ties shared, and the area under the ROC curve from them (Hanley & McNeil 1982)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def average_ranks(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of the ranks they cover. x: [n]"""
    _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared = last - (counts - 1) / 2
    return np.asarray(shared[group.reshape(-1)], dtype=np.float64)


def binary_auc(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """The share of (positive, negative) pairs in which the positive scores higher, ties counting half.

    Both classes must be there. scores, positive: [n]
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    above = average_ranks(scores)[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
