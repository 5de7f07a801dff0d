"""How far a metric's value would move with other samples of the same kind: its 95 % interval.

Hits and misses, one a sample: Wilson's score interval (1927). Else percentiles of 1000 resamples (Efron 1979), drawn
with a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from squeeze import metrics
from squeeze.errors import ConfigError
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.reading import Reading
from squeeze.metrics.scoring import judged_by, truth, value_of

RESAMPLES = 1000
_SEED = 0
_BLOCK = 100  # resamples at a time, for their counts take memory
_TAILS = (2.5, 97.5)
_Z = 1.959963984540054  # of the normal distribution at 97.5 %


def interval(
    reading: Reading,
    outputs: Mapping[str, Array],
    labels: Array | None,
    reference: Mapping[str, Array] | None,
) -> tuple[float, float] | None:
    """(low, high) of the value that `scores` gives for the same arguments; None where resamples have no value.

    Raises ConfigError as `scores`.
    """
    got = outputs[reading.output]
    teacher = None if reference is None else reference[reading.output]
    reading = judged_by(reading, labels, got, teacher)
    metric = metrics.resolve(reading.metric)
    wanted = truth(metric, got, labels, teacher)
    if metric.per_sample is not None:
        values = metric.per_sample(got, wanted)
        if metric.share and np.isin(values, (0, 100)).all():
            return wilson(int((values == 100).sum()), len(values))
        found = np.concatenate([counts @ values / len(values) for counts in _counts(len(values))])
    elif metric.resampled is not None:
        found = np.concatenate(
            [metric.resampled(got, wanted, counts) for counts in _counts(len(got))]
        )
    else:
        found = _again(metric, got, wanted)
    found = found[np.isfinite(found)]
    if not found.size:
        return None
    low, high = np.percentile(found, _TAILS)
    return float(low), float(high)


def wilson(hits: int, samples: int) -> tuple[float, float]:
    """The interval of a share, in percent."""
    share, z2 = hits / samples, _Z * _Z
    centre = share + z2 / (2 * samples)
    half = _Z * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples * samples))
    scale = 1 + z2 / samples
    return 100 * max(0.0, (centre - half) / scale), 100 * min(1.0, (centre + half) / scale)


def _counts(samples: int) -> Iterator[NDArray[np.int64]]:
    """How often each sample is drawn in each resample, some resamples [b, n] at a time."""
    rng = np.random.default_rng(_SEED)
    even = np.full(samples, 1 / samples)
    for _ in range(RESAMPLES // _BLOCK):
        yield rng.multinomial(samples, even, _BLOCK)


def _again(metric: Metric, outputs: Array, wanted: Array) -> Floats:
    """The metric of each resample; NaN where a resample has none, as one of a single class."""
    rng = np.random.default_rng(_SEED)
    found = np.full(RESAMPLES, np.nan)
    for i in range(RESAMPLES):
        drawn = rng.integers(0, len(outputs), len(outputs))
        try:
            found[i] = value_of(metric, outputs[drawn], wanted[drawn])
        except ConfigError:
            continue
    return found
