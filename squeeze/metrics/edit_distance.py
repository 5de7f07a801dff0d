"""Text read by a network that scores classes step by step (CTC): how much of the float model's is read otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError
from squeeze.metrics.answers import check_alike
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, blocks, share, total


def edit_distance(outputs: Array, reference: Array) -> float:
    """100 * (insertions + deletions + changes that lead to the reference's text) / its length, over all samples; lower
    is better. Where the reference reads nothing: 0 when the outputs do neither, else 100.

    outputs, reference: [n, t, classes]. A text is the best class of each step, runs of one class once, and without the
    blank: the class that the reference has in most steps.
    """
    return total(_SUMS, outputs, reference)


def blank_of(reference: Samples) -> tuple[int, float]:
    """The best class of most steps, and the share of steps that have it."""
    counts = np.zeros(reference[:1].shape[-1], np.int64)
    for some in blocks(reference):
        counts += np.bincount(reference[some].argmax(axis=2).reshape(-1), minlength=len(counts))
    blank = int(counts.argmax())
    return blank, float(counts[blank] / counts.sum())


def _learn(reference: Samples, given: Samples) -> int:
    shape = reference[:1].shape
    if len(shape) != 3:
        raise ConfigError(
            f"metric edit_distance: outputs {['n', *shape[1:]]}, allowed: [n, steps, classes]"
        )
    return blank_of(reference)[0]


def _each(outputs: Array, reference: Array, blank: int) -> Floats:
    """Of each sample the distance of the texts, and the length of the reference's: [n, 2]."""
    check_alike("edit_distance", outputs, reference)
    texts = [[read_text(one, blank) for one in x] for x in (outputs, reference)]
    return np.asarray([(distance(a, b), len(b)) for a, b in zip(*texts, strict=True)], np.float64)


def read_text(scores: Array, blank: int) -> NDArray[np.int64]:
    """The text of one sample [t, classes]."""
    path = scores.argmax(axis=1)
    begins = np.flatnonzero(np.diff(path, prepend=-1))
    kept = path[begins]
    return np.asarray(kept[kept != blank], np.int64)


def distance(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Levenshtein's: how many insertions, deletions and changes make one of the other."""
    places = np.arange(len(b) + 1)
    row = places.copy()
    for i, one in enumerate(a, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (b != one))
        row = np.concatenate([[i], best])
        # An insertion may follow on any place before it: the least of (value - place) so far, and the way from there.
        row = np.minimum.accumulate(row - places) + places
    return int(row[-1])


def _value(sums: Floats, blank: int) -> Floats:
    return 100 * share(sums[..., 0], sums[..., 1])


_SUMS = Sums(_each, _value, _learn)

METRIC = Metric(
    key="edit_distance",
    name="of the text read otherwise",
    title="text read otherwise than by the float model",
    unit="%",
    fn=edit_distance,
    compares="values",
    needs="teacher",
    higher_is_better=False,
    axes=(2, 2),
    sums=_SUMS,
)
