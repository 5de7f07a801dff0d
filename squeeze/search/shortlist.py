"""Which evaluated candidates are measured, and which measured one is picked.

The shortlist is the best-scored candidate at each step of guessed latency, steps at least 1.25x apart, so that the
noise of a measurement (a few percent) rarely exchanges two of them. First a few around the bound are measured; they
correct the guesses (a cost per unit of guessed compute plus one per layer); then those now nearest to the bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squeeze.search.score import Candidate

APART = 1.25


def best_by_cost(history: Sequence[Candidate], scores: Sequence[float]) -> list[int]:
    """Indices into the history, the costliest first, each the best-scored of those 1.25x below the one before."""
    found: list[int] = []
    limit = math.inf
    while True:
        inside = [i for i, c in enumerate(history) if c.estimate_ratio <= limit]
        if not inside:
            return found
        best = max(inside, key=lambda i: (scores[i], -i))
        found.append(best)
        limit = history[best].estimate_ratio / APART


def first_batch(
    history: Sequence[Candidate], listed: Sequence[int], bound: float, count: int
) -> list[int]:
    """The one guessed to be just inside the bound, then the top, then some between that one and the lowest."""
    inside = [k for k, i in enumerate(listed) if history[i].estimate_ratio <= bound]
    anchor = inside[0] if inside else len(listed) - 1
    last = len(listed) - 1
    order = [anchor, 0, (anchor + last + 1) // 2, anchor // 2, last]
    return [listed[k] for k in dict.fromkeys(order)][:count]


def second_batch(
    history: Sequence[Candidate],
    listed: Sequence[int],
    measured: dict[int, float],
    bound: float,
    count: int,
) -> list[int]:
    """Those not measured whose corrected guess is nearest to the bound; none when the top is inside already."""
    if measured.get(listed[0], math.inf) <= bound:
        return []
    guess = corrected(history, measured)
    left = [i for i in listed if i not in measured]
    return sorted(left, key=lambda i: abs(math.log(guess(history[i]) / bound)))[:count]


def corrected(
    history: Sequence[Candidate], measured: dict[int, float]
) -> Callable[[Candidate], float]:
    """A guess of the latency ratio that agrees with what was measured."""
    rows = [history[i] for i in measured]
    ratios = np.array(list(measured.values()))
    scale = float(np.median(ratios / np.array([c.estimate_ratio for c in rows])))
    if len(rows) > 1:
        costs = np.array([_features(c) for c in rows])
        # Relative errors: a ratio of 0.01 counts as much as one of 0.1.
        weights, *_ = np.linalg.lstsq(costs / ratios[:, None], np.ones(len(rows)), rcond=None)
        if (weights > 0).all():
            return lambda c: float(np.dot(_features(c), weights))
    return lambda c: scale * c.estimate_ratio


def pick(
    scores: Sequence[float], measured: dict[int, float], bound: float, *, demanded: bool
) -> int:
    """The best-scored candidate measured inside a bound that is demanded; the fastest measured one when none is.

    Of a bound that is only wished, the one nearest to it and not a whole step of the list beyond: measured latencies
    differ by some percent from machine to machine and from run to run, and an edge would pick another one each time.
    """
    near = [i for i, ratio in measured.items() if ratio <= APART * bound]
    if near and not demanded:
        return min(near, key=lambda i: (abs(math.log(measured[i] / bound)), i))
    inside = [i for i, ratio in measured.items() if ratio <= bound]
    if inside:
        return max(inside, key=lambda i: (scores[i], -i))
    return min(measured, key=lambda i: (measured[i], i))


def _features(candidate: Candidate) -> tuple[float, float]:
    return candidate.estimate_ratio, float(len(candidate.cost.layers))
