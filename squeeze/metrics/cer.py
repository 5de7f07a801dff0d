"""Text read by a network that scores classes step by step (CTC), against labelled texts: the character error rate."""

from __future__ import annotations

import numpy as np

from squeeze.errors import ConfigError
from squeeze.metrics.edit_distance import blank_of, distance, read_text
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, share, total

NONE = -1  # what fills up the labels behind a text


def cer(outputs: Array, labels: Array) -> float:
    """100 * (insertions + deletions + changes that make the text read the labelled one) / its length, over all samples;
    lower is better.

    outputs: [n, t, classes], read as `edit_distance` reads them; the blank is the class that the float model has in
    most steps. labels: [n, length], the class of each character, filled up with -1.
    """
    return total(_SUMS, outputs, labels)


def _learn(labels: Samples, given: Samples) -> int:
    outputs, texts = given[:1], labels[:1]
    if outputs.ndim != 3 or texts.ndim != 2:
        raise ConfigError(
            f"metric cer: outputs {['n', *outputs.shape[1:]]} and labels {['n', *texts.shape[1:]]}, allowed: [n, "
            "steps, classes] and [n, length], the class of each character, filled up with -1"
        )
    blank = blank_of(given)[0]
    largest = int(labels[:].max())
    if largest >= outputs.shape[2]:
        raise ConfigError(
            f"metric cer: labels go up to {largest}, allowed: -1..{outputs.shape[2] - 1}, the classes of outputs "
            f"{['n', *outputs.shape[1:]]}"
        )
    if (labels[:] == blank).any():
        raise ConfigError(
            f"metric cer: labels have class {blank}, which the model gives in most steps and so is the blank; give the "
            "class of each character, and -1 behind the text"
        )
    return blank


def _each(outputs: Array, labels: Array, blank: int) -> Floats:
    """Of each sample the distance of the texts, and the length of the labelled one: [n, 2]."""
    texts = [(read_text(a, blank), b[b != NONE]) for a, b in zip(outputs, labels, strict=True)]
    return np.asarray([(distance(a, b), len(b)) for a, b in texts], np.float64)


def _value(sums: Floats, blank: int) -> Floats:
    return 100 * share(sums[..., 0], sums[..., 1])


_SUMS = Sums(_each, _value, _learn)

METRIC = Metric(
    key="cer",
    name="character errors",
    title="character error rate",
    unit="%",
    fn=cer,
    compares="values",
    needs="labels",
    labels="text",
    higher_is_better=False,
    axes=(2, 2),
    sums=_SUMS,
)
