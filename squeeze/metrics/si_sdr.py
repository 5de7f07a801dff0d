"""Audio: the scale-invariant ratio of signal to distortion (Le Roux et al. 2019)."""

from __future__ import annotations

import numpy as np

from squeeze.metrics.answers import fitting, rows
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Sums, total

MOST_DB = 100.0  # an equal signal has no distortion at all, and a mean needs a number


def si_sdr(outputs: Array, labels: Array) -> float:
    """In dB: the mean over samples of 10 * log10(|s|^2 / |a - s|^2) with s the part of `a` along `b`, (a.b / b.b) b.

    Means are taken away first. From -100 to 100 dB. Samples that are silent in both are left out; silence for a sound,
    or a sound for silence, is -100 dB. All samples silent: 100 dB.
    """
    return total(_SUMS, outputs, labels)


def points(value_db: float) -> float:
    """The share of distortion in percent of the signal: 20 dB is one point, 10 dB are ten."""
    return float(100 * 10 ** (-value_db / 10))


def _each(outputs: Array, labels: Array, known: None) -> Floats:
    """Of each sample the ratio in dB and 1, or zeros when it is left out: [n, 2]."""
    a, b = rows(outputs), rows(fitting("si_sdr", outputs, labels))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    power = (b * b).sum(axis=1)
    factor = np.divide((a * b).sum(axis=1), power, out=np.zeros(len(a)), where=power > 0)
    signal = factor[:, None] * b
    kept, lost = (signal**2).sum(axis=1), ((a - signal) ** 2).sum(axis=1)
    heard = (power > 0) | a.any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * (np.log10(np.where(heard, kept, 1)) - np.log10(np.where(heard, lost, 1)))
    ratio = np.nan_to_num(np.clip(ratio, -MOST_DB, MOST_DB), nan=-MOST_DB)
    return np.stack([np.where(heard, ratio, 0), heard], axis=1)


def _value(sums: Floats, known: None) -> Floats:
    ratios, count = sums[..., 0], sums[..., 1]
    silent = np.full_like(ratios, MOST_DB)
    return np.asarray(np.divide(ratios, count, out=silent, where=np.asarray(count) > 0))


_SUMS = Sums(_each, _value)

METRIC = Metric(
    key="si_sdr",
    name="SI-SDR",
    title="scale-invariant signal-to-distortion ratio",
    unit="dB",
    fn=si_sdr,
    compares="values",
    points=points,
    axes=(1, 2),
    sums=_SUMS,
)
