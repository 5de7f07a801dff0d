"""Embeddings of pairs, as the STS benchmark asks: the rank correlation of their cosines with the score of each pair."""

from __future__ import annotations

import numpy as np

from squeeze.errors import ConfigError
from squeeze.metrics.answers import rows
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.spearman import resampled, spearman


def pair_spearman(outputs: Array, labels: Array) -> float:
    """In points, with shared ties. outputs: [n, d]. labels: [n, 2], the number of the pair that a sample is of, and the
    score of that pair; samples whose other half is not among these do not count."""
    cosines, scores = by_pair(outputs, labels)
    return spearman(cosines, scores)


def by_pair(outputs: Array, labels: Array) -> tuple[Floats, Floats]:
    """The cosine and the score of each pair, [pairs] both. Raises ConfigError where there is no whole pair."""
    if labels.ndim != 2 or labels.shape[1] != 2 or len(labels) != len(outputs):
        raise ConfigError(
            f"metric pair_spearman: labels {list(labels.shape)} do not fit outputs {list(outputs.shape)}; allowed: "
            "[n, 2], the number of a sample's pair and the pair's score"
        )
    if outputs.ndim > 2 and int(np.prod(outputs.shape[1:-1])) > 1:
        raise ConfigError(
            f"metric pair_spearman: the output has {list(outputs.shape[1:])} numbers a sample, such as a vector for "
            "each token; allowed: one vector. Give a model that pools them (a sentence-transformers folder)"
        )
    order = np.argsort(labels[:, 0], kind="stable")
    numbers = labels[order, 0]
    first = np.flatnonzero(numbers[:-1] == numbers[1:])
    if not len(first):
        raise ConfigError("metric pair_spearman: no two samples are of one pair")
    vectors = rows(outputs)
    a, b = vectors[order[first]], vectors[order[first + 1]]
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0)
    return cosines, np.asarray(labels[order[first], 1], np.float64)


METRIC = Metric(
    key="pair_spearman",
    name="Spearman of pairs",
    title="rank correlation of the pairs' cosines",
    unit="points",
    fn=pair_spearman,
    compares="directions",
    needs="labels",
    labels="pairs",
    axes=(1, 1),
    together=by_pair,
    resampled=resampled,
)
