"""Which sample and view each step sees, and how fast it learns: pure functions of (seed, step)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from squeeze.guides.draw import hashed


def learning_rate(step: int, *, steps: int, peak: float, warmup: float) -> float:
    """Linear from near 0 to `peak` over the first `warmup` of all steps, then a half cosine down to 0."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return peak * (step + 1) / rising
    return 0.5 * peak * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def picks(
    step: int, *, n: int, batch_size: int, views: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample and view numbers of a batch, [batch_size] each.

    The steps walk through one endless row of shuffled epochs; batches cross the seams, so none is short even when it
    is larger than the data. In epoch e sample i is seen in view (e + a number of its own) mod views.
    """
    place = np.arange(step * batch_size, (step + 1) * batch_size)
    epoch, offset = place // n, place % n
    samples = np.empty(batch_size, np.int64)
    for one in np.unique(epoch):
        rows = epoch == one
        samples[rows] = _order(n, int(one), seed)[offset[rows]]
    own = (hashed(seed, samples) % np.uint64(views)).astype(np.int64)
    return samples, (epoch + own) % views


@lru_cache(maxsize=2)
def _order(n: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(n)
