"""Which samples train, which calibrate, which judge: indices drawn from labels and a seed, disjoint and never empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.calib.rows import Array
from squeeze.errors import ConfigError

Indices = NDArray[np.intp]

MOST_CALIBRATE = 1024
# The share where nothing is trained.
UNTRAINED_CALIBRATE = 0.9


@dataclass(frozen=True)
class Parts:
    """Ascending indices, disjoint, together everything; a part with arrays of its own is empty."""

    fit: Indices
    calibrate: Indices
    evaluate: Indices


def split(
    samples: int,
    labels: Array | None,
    *,
    evaluate: float,
    calibrate: float,
    seed: int,
    where: str,
    groups: Array | None = None,
) -> Parts:
    """`evaluate` and `calibrate` are shares, 0 for none; the rest is fit. calibrate has at most MOST_CALIBRATE.

    labels: [n] integers, or None. Evaluation keeps the shares of the classes, calibration is balanced over them.
    groups: [n]; samples of one group come into one part, whatever their classes, and shares are met as far as whole
    groups can. Raises ConfigError when there are fewer samples, or groups, than parts.
    """
    wanted = {"fit": 1.0, "calibrate": calibrate, "evaluate": evaluate}
    parts = [name for name, share in wanted.items() if share > 0]
    if samples < len(parts):
        raise ConfigError(
            f"{where}: {samples} sample{'' if samples == 1 else 's'}, at least {len(parts)} are needed: one each for "
            f"{', '.join(parts)}"
        )
    rng = np.random.default_rng(seed)
    if groups is not None:
        return _by_group(np.asarray(groups), {n: wanted[n] for n in parts}, rng, where)
    rest = np.arange(samples)
    judging = calibrating = rest[:0]
    if evaluate > 0:
        count = min(max(1, round(samples * evaluate)), samples - len(parts) + 1)
        judging = np.sort(_stratified(labels, samples, count, rng))
        rest = np.setdiff1d(rest, judging)
    if calibrate > 0:
        count = min(max(1, round(samples * calibrate)), MOST_CALIBRATE, len(rest) - 1)
        left = None if labels is None else labels[rest]
        calibrating = np.sort(rest[balanced(left, len(rest), count, rng, share=0.5)])
        rest = np.setdiff1d(rest, calibrating)
    return Parts(rest, calibrating, judging)


def _by_group(
    groups: Array, shares: dict[str, float], rng: np.random.Generator, where: str
) -> Parts:
    """shares: of the parts that there are, `fit` among them, which takes what is left."""
    kinds, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(kinds) < len(shares):
        raise ConfigError(
            f"{where}: {len(kinds)} group{'' if len(kinds) == 1 else 's'}, at least {len(shares)} are needed: one each "
            f"for {', '.join(shares)}; or keep_groups = false under [splits] in a TOML"
        )
    left = rng.permutation(len(kinds))
    drawn = {name: np.empty(0, np.intp) for name in ("fit", "calibrate", "evaluate")}
    for after, name in enumerate([n for n in ("evaluate", "calibrate") if n in shares], start=1):
        wanted = shares[name] * len(groups)
        wanted = min(wanted, MOST_CALIBRATE) if name == "calibrate" else wanted
        # As many as come nearest to the share; one at least, and one left for each part behind.
        middles = np.cumsum(sizes[left]) - sizes[left] / 2
        count = int(np.clip((middles <= wanted).sum(), 1, len(left) - len(shares) + after))
        drawn[name], left = left[:count], left[count:]
    drawn["fit"] = left
    return Parts(**{n: np.flatnonzero(np.isin(group_of.reshape(-1), g)) for n, g in drawn.items()})


def whole_groups(groups: Array, count: int, rng: np.random.Generator) -> Indices:
    """At most `count` indices: all samples of groups in random order, those of a group one after the other."""
    kinds, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(kinds))
    taken = order[np.cumsum(sizes[order]) <= count]
    rank = np.full(len(kinds), len(kinds))
    rank[taken] = np.arange(len(taken))
    ranks = rank[group_of.reshape(-1)]
    return np.argsort(ranks, kind="stable")[: int((ranks < len(kinds)).sum())]


def balanced(
    labels: Array | None, samples: int, count: int, rng: np.random.Generator, *, share: float = 1.0
) -> Indices:
    """`count` of `samples` indices in random order, as many of each class as it has; random without labels.

    share: at most this part of a class is taken, as long as that yields `count`.
    """
    order = rng.permutation(samples)
    if labels is None or labels.ndim != 1 or labels.dtype.kind != "i":
        return order[:count]
    # The k-th sample of every class comes before the (k + 1)-th of any; those beyond the share come last.
    turn, class_of, counts = _turns(labels, order)
    late = turn >= np.maximum(1, np.floor(counts[class_of[order]] * share))
    ranked = order[np.lexsort((np.arange(samples), turn, late))]
    return ranked[:count]


def _stratified(
    labels: Array | None, samples: int, count: int, rng: np.random.Generator
) -> Indices:
    """`count` indices, every class with its share of the whole, to within one sample."""
    order = rng.permutation(samples)
    if labels is None or labels.ndim != 1 or labels.dtype.kind != "i":
        return order[:count]
    turn, class_of, counts = _turns(labels, order)
    exact = counts * count / samples
    quota = np.floor(exact).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    return order[turn < quota[class_of[order]]]


def _turns(
    labels: Array, order: Indices
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each place in `order` how many of its class came before; the class of each sample; samples per class."""
    _, class_of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    class_of = class_of.reshape(-1)
    grouped = np.argsort(class_of[order], kind="stable")
    turn = np.empty(len(order), np.int64)
    turn[grouped] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return turn, class_of, counts
