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
    step: int,
    *,
    n: int,
    batch_size: int,
    views: int | NDArray[np.int64],
    seed: int,
    crops: int = 1,
    share: float = 1.0,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample and view numbers of a batch, [batch_size] each. views: of every sample, or of each [n].

    The steps walk through one endless row of shuffled epochs; batches cross the seams, so none is short even when it
    is larger than the data. In epoch e sample i is seen in view (e + a number of its own) mod views. crops: so many
    views of a sample stand side by side, and the next ones come in the next epoch. share: of the samples that an epoch
    has, others each time.
    """
    few = max(1, math.ceil(share * n - 1e-9))
    place = np.arange(step * batch_size // crops, (step + 1) * batch_size // crops)
    epoch, offset = place // few, place % few
    samples = np.empty(len(place), np.int64)
    for one in np.unique(epoch):
        rows = epoch == one
        samples[rows] = _order(n, int(one), seed)[offset[rows]]
    samples, turn = np.repeat(samples, crops), np.repeat(epoch * crops, crops)
    turn += np.tile(np.arange(crops), len(place))
    count = np.broadcast_to(views, n)[samples]
    own = (hashed(seed, samples) % count.astype(np.uint64)).astype(np.int64)
    return samples, (turn + own) % count


@lru_cache(maxsize=2)
def _order(n: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(n)
