"""How far a metric's value would move with other samples of the same kind: its 95 % interval.

Hits and misses, one a sample: Wilson's score interval (1927). Else percentiles of 1000 resamples (Efron 1979), drawn
with a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.records import Records
from squeeze.metrics.sums import Sums

Interval = tuple[float, float] | None

RESAMPLES = 1000
_SEED = 0
_BLOCK = 100  # resamples at a time, for their counts take memory
_TAILS = (2.5, 97.5)
_Z = 1.959963984540054  # of the normal distribution at 97.5 %


def of_sums(sums: Sums, numbers: Floats, known: Any) -> Interval:  # Any: what `sums.learn` gave
    """From the numbers of each sample [n, m]; None where resamples have no value.

    Of the worst field it is the interval of that field: the worst of each resample, whichever it is, is worse on the
    whole, and the value itself may lie outside.
    """
    value = sums.value
    if sums.fields is not None:
        whole = numbers.sum(axis=0)
        worst = int(np.argmin(np.abs(sums.fields(whole, known) - sums.value(whole, known))))
        value = _of_field(sums.fields, worst)
    return _percentiles([value(counts @ numbers, known) for counts in _counts(len(numbers))])


def _of_field(
    fields: Callable[[Floats, Any], Floats], field: int
) -> Callable[[Floats, Any], Floats]:
    return lambda sums, known: np.asarray(fields(sums, known)[..., field])


def of_records(records: Records, found: Sequence[Any]) -> Interval:  # Any: the metric's own
    """From the records of all samples; None where resamples have no value."""
    return _percentiles([records.value(found, counts) for counts in _counts(len(found))])


def of_values(metric: Metric, outputs: Array, wanted: Array) -> Interval:
    """Of a metric that says how it is resampled; None where resamples have no value."""
    if metric.together is not None:
        outputs, wanted = metric.together(outputs, wanted)
    if metric.per_sample is not None:
        values = metric.per_sample(outputs, wanted)
        if metric.share and np.isin(values, (0, 100)).all():
            return wilson(int((values == 100).sum()), len(values))
        return _percentiles([counts @ values / len(values) for counts in _counts(len(values))])
    assert metric.resampled is not None
    return _percentiles(
        [metric.resampled(outputs, wanted, counts) for counts in _counts(len(outputs))]
    )


def of_calls(value: Callable[[NDArray[np.int64]], float], samples: int) -> Interval:
    """value: indices of the samples that were drawn -> the metric, or a ConfigError for a resample that has none, as
    one of a single class."""
    rng = np.random.default_rng(_SEED)
    found = np.full(RESAMPLES, np.nan)
    for i in range(RESAMPLES):
        drawn = rng.integers(0, samples, samples)
        try:
            found[i] = value(drawn)
        except ConfigError:
            continue
    return _percentiles([found])


def wilson(hits: int, samples: int) -> tuple[float, float]:
    """The interval of a share, in percent."""
    share, z2 = hits / samples, _Z * _Z
    centre = share + z2 / (2 * samples)
    half = _Z * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples * samples))
    scale = 1 + z2 / samples
    return 100 * max(0.0, (centre - half) / scale), 100 * min(1.0, (centre + half) / scale)


def _percentiles(parts: list[Floats]) -> Interval:
    found = np.concatenate(parts)
    found = found[np.isfinite(found)]
    if not found.size:
        return None
    low, high = np.percentile(found, _TAILS)
    return float(low), float(high)


def _counts(samples: int) -> Iterator[NDArray[np.int64]]:
    """How often each sample is drawn in each resample, some resamples [b, n] at a time."""
    rng = np.random.default_rng(_SEED)
    even = np.full(samples, 1 / samples)
    for _ in range(RESAMPLES // _BLOCK):
        yield rng.multinomial(samples, even, _BLOCK)
