"""From what each contender took in each round to one ratio and its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Faster:
    """How many times faster ours is: the ratio of medians, and the quartiles of the ratios of single rounds."""

    ratio: float
    low: float
    high: float


def per_layer(long: np.ndarray, short: np.ndarray, more: int) -> np.ndarray:
    """The time of one layer in each round, from models that differ by `more` layers. long, short: [rounds]"""
    return (long - short) / more


def faster(ours: np.ndarray, theirs: np.ndarray) -> Faster:
    """Rounds are paired: a slow moment hits both. ours, theirs: [rounds]"""
    return geomean([ours], [theirs])


def geomean(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Faster:
    """The geometric mean over several models of the same rounds. ours, theirs: a [rounds] for each model"""
    middle = [np.median(t) / np.median(o) for o, t in zip(ours, theirs, strict=True)]
    # A difference of two noisy times may fall to zero in a round; such a pair says nothing about the spread.
    mine, other = np.stack(ours), np.stack(theirs)
    sound = (mine > 0) & (other > 0)
    logs = np.log(np.where(sound, other, 1) / np.where(sound, mine, 1))
    rounds = (
        np.sum(logs, axis=0)[np.any(sound, axis=0)] / np.sum(sound, axis=0)[np.any(sound, axis=0)]
    )
    low, high = np.exp(np.percentile(rounds, (25, 75))) if len(rounds) else (np.nan, np.nan)
    return Faster(float(np.exp(np.mean(np.log(middle)))), float(low), float(high))
