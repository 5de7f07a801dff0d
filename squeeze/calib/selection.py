"""Which samples calibrate, or get a label: a few that stand for many. NumPy only, memory bounded.

random     any
balanced   as many of each class as there are; random without classes
bins       dataset quantisation: bins from dense to sparse regions of the features, then as many from each bin
k-centre   the teacher's probabilities: always the sample that is farthest from those already taken

Never is a matrix of all pairs made: distances and similarities go to one sample, or to a sum, at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.calib.rows import Array
from squeeze.calib.split import Indices, balanced
from squeeze.errors import ConfigError, unknown

# Of dataset quantisation, as published.
BINS = 10
# The greedy ones take time in samples x chosen x dimensions. Larger sets are thinned at random to so many samples (or
# as many as are wanted), longer features projected at random to so many dimensions: seconds, some megabytes.
MOST_SAMPLES = 8192
MOST_DIMENSIONS = 128
_BLOCK = 1024


@dataclass(frozen=True)
class Known:
    """What is known of `samples` samples: labels [n], features [n, ...], probabilities [n, k], or None."""

    samples: int
    labels: Array | None
    features: Array | None
    probabilities: Array | None


def select(
    name: str,
    count: int,
    samples: int,
    *,
    labels: Array | None = None,
    features: Array | None = None,
    probabilities: Array | None = None,
    seed: int,
) -> Indices:
    """min(count, samples) different indices below `samples`; the same arguments give the same ones.

    name: a key of SELECTIONS. labels: [n] integers. features: [n, ...], an embedding; for "bins". probabilities:
    [n, k], rows sum to 1; for "k-centre". In order of choice, for "k-centre": every beginning is a selection too.

    Raises ConfigError for an unknown name and when the array that a selection needs is missing, not as long as
    `samples`, or not finite.
    """
    if name not in SELECTIONS:
        raise ConfigError(unknown("calibration: selection", name, sorted(SELECTIONS)))
    known = Known(samples, labels, features, probabilities)
    return SELECTIONS[name](known, min(count, samples), np.random.default_rng(seed))


def _random(known: Known, count: int, rng: np.random.Generator) -> Indices:
    return rng.permutation(known.samples)[:count]


def _balanced(known: Known, count: int, rng: np.random.Generator) -> Indices:
    return balanced(known.labels, known.samples, count, rng)


def _bins(known: Known, count: int, rng: np.random.Generator) -> Indices:
    """Zhou et al., "Dataset Quantization" (ICCV 2023)."""
    features = _rows(known.features, known, "bins", "features")
    pool = _pool(known.samples, count, rng)
    bins = graph_cut_bins(_directions(features, pool, rng), BINS)
    # The k-th of every bin comes before the (k + 1)-th of any.
    shuffled = [pool[rng.permutation(b)] for b in bins]
    turn = np.concatenate([np.arange(len(b)) for b in shuffled])
    return np.concatenate(shuffled)[np.argsort(turn, kind="stable")][:count]


def _k_centre(known: Known, count: int, rng: np.random.Generator) -> Indices:
    """PCoreSet (2025): k-centre in the space of the teacher's probabilities."""
    points = _rows(known.probabilities, known, "k-centre", "probabilities")
    pool = _pool(known.samples, count, rng)
    return pool[k_centre(_finite(points[pool], "k-centre", "probabilities"), count)]


def graph_cut_bins(directions: NDArray[np.float32], bins: int) -> list[Indices]:
    """Indices in `bins` parts of equal size, to within one, by greedy maximisation of a graph cut.

    directions: [n, d], rows of length 1, or 0. A bin takes, one after the other, the x with the largest gain

        sum of s(x, y) over y in no earlier bin - 2 * sum of s(x, y) over y in this bin,    s: cosine similarity

    so that dense regions come first, but never many that are alike into one bin. Both sums are products with a sum of
    rows: a step costs n * d, and no pair is stored.
    """
    rest = np.arange(len(directions))
    found = []
    edges = np.linspace(0, len(directions), min(bins, len(directions)) + 1).round().astype(int)
    for size in np.diff(edges)[:-1].tolist():
        here = directions[rest]
        gains = (here @ here.sum(axis=0, dtype=np.float64).astype(np.float32)).astype(np.float64)
        chosen = np.empty(size, np.intp)
        for i in range(size):
            chosen[i] = best = int(np.argmax(gains))
            gains -= 2 * (here @ here[best])
            gains[best] = -np.inf
        found.append(rest[chosen])
        rest = np.delete(rest, chosen)
    return [*found, rest]


def k_centre(points: NDArray[np.float32], count: int) -> Indices:
    """`count` indices into `points` [n, k]: first the one nearest to the mean, then always the one farthest from its
    nearest chosen one (Gonzalez 1985: no cover by as many balls has less than half its radius). Ties: the first.
    """
    chosen = np.empty(min(count, len(points)), np.intp)
    if len(chosen) == 0:
        return chosen
    chosen[0] = int(np.argmin(_squares(points, points.mean(axis=0))))
    nearest = np.full(len(points), np.inf, np.float32)
    for i in range(1, len(chosen)):
        last = chosen[i - 1]
        np.minimum(nearest, _squares(points, points[last]), out=nearest)
        nearest[last] = -1  # not again, even where all points are the same
        chosen[i] = int(np.argmax(nearest))
    return chosen


def _squares(points: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances from `centre` [k], [n]."""
    away = points - centre
    found: NDArray[np.float32] = np.einsum("nk,nk->n", away, away)
    return found


def _rows(array: Array | None, known: Known, name: str, what: str) -> Array:
    if array is None:
        raise ConfigError(
            f"calibration: selection '{name}' needs {what} of the teacher, which gives none; "
            "allowed without: balanced, random"
        )
    if len(array) != known.samples or known.samples == 0:
        raise ConfigError(
            f"calibration: selection '{name}': got {len(array)} rows of {what} for {known.samples} samples; "
            "there must be one for each"
        )
    return array.reshape(len(array), -1)


def _pool(samples: int, count: int, rng: np.random.Generator) -> Indices:
    """Ascending indices of the samples that are looked at."""
    most = max(count, MOST_SAMPLES)
    if samples <= most:
        return np.arange(samples)
    return np.sort(rng.permutation(samples)[:most])


def _directions(features: Array, pool: Indices, rng: np.random.Generator) -> NDArray[np.float32]:
    """Features of the pool scaled to length 1, [n, d]; what has no direction stays 0."""
    width = features.shape[1]
    projection = None
    if width > MOST_DIMENSIONS:
        projection = rng.standard_normal((width, MOST_DIMENSIONS), np.float32)
    found = np.empty((len(pool), min(width, MOST_DIMENSIONS)), np.float32)
    for start in range(0, len(pool), _BLOCK):
        block = _finite(features[pool[start : start + _BLOCK]], "bins", "features")
        # By the largest first: squares of large values would overflow.
        block = block / np.maximum(np.abs(block).max(axis=1, keepdims=True), np.float32(1e-30))
        block = block if projection is None else block @ projection
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        found[start : start + len(block)] = block / np.maximum(lengths, np.float32(1e-30))
    return found


def _finite(rows: Array, name: str, what: str) -> NDArray[np.float32]:
    narrow: NDArray[np.float32] = rows.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ConfigError(f"calibration: selection '{name}': the teacher's {what} are not finite")
    return narrow


SELECTIONS: dict[str, Callable[[Known, int, np.random.Generator], Indices]] = {
    "balanced": _balanced,
    "bins": _bins,
    "k-centre": _k_centre,
    "random": _random,
}
