"""What an output is, told from what the float model gives for some samples, its name, and the model's inputs.

Nobody says it, so each kind has its evidence, and what has none is judged as values, which no error can hide from.

    answers         integers: classes already
    classes         scores of which the best counts: a softmax, one probability, a name that says so, or [n, c] that is
                    none of the others
    number          one without bounds
    yes-no          several probabilities a sample, each for itself: the best alone would say nothing of the others; or
                    one that is on the same side of a half for nearly every sample, such as that of a wake word in noise
    embedding       directions in [n, d]: rows of length 1, a name that says so, or a width of 64, 96, 128, ...: that is
                    the size of a layer, and hardly ever a number of classes
    boxes           a detector (`boxes.form_of`) that has been trained: few anchors score high
    areas           a softmax over the classes of each place, or one probability a place, decided nearly everywhere
    text            a softmax (or its logarithm) over the classes of each step, mostly the blank
    audio           long, around zero, and smooth: neighbouring values are alike
    reconstruction  [n, d] with as many numbers as an input; maps of an input's shape are values
    features        a row for each of as many numbers as an input has: of tokens
    same-class      scores of classes of which one is the best for nearly every sample: that it still is says nothing
    values          everything else, also [n, c] without a name for classes in which the same column is the largest for
                    nearly every sample
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from squeeze.metrics import boxes
from squeeze.metrics.answers import floats, probabilities, unit_vectors, whole
from squeeze.metrics.edit_distance import blank_of
from squeeze.metrics.fields import are_of_tokens
from squeeze.metrics.sums import Array, Floats, Samples

Kind = Literal[
    "answers",
    "classes",
    "same-class",
    "number",
    "yes-no",
    "embedding",
    "features",
    "boxes",
    "areas",
    "text",
    "audio",
    "reconstruction",
    "values",
]

_LOOKED_AT = 64  # samples, of outputs that may be large
_EMBEDDING = re.compile(r"embed|feature|hidden|descriptor", re.IGNORECASE)
_CLASSES = re.compile(r"logit|prob|class|softmax|label", re.IGNORECASE)
_VALUES = re.compile(r"box|landmark|kps|keypoint|coord|offset|pose|angle|regress", re.IGNORECASE)
_ONE_CLASS = 0.95  # of the samples
_ENOUGH = 20  # of what is called classes: of fewer, all may be of one though the data are not
_LAYER_WIDTH = 64  # the least of an embedding without a name, ...
_LAYER_STEP = 32  # ... and what it is a multiple of
_FEW_ANCHORS = 0.1  # of all may be boxes: a detector that was not trained scores everywhere alike
_DECIDED = 0.9  # of the places
_BLANKS = 0.3  # of the steps
_STEPS = 4
_FEWEST_MADE_AGAIN = 16  # numbers: as many features as classes are no wonder below
_LONG = 1000  # of audio with an axis of its own for the channel, ...
_LONGER = 4000  # ... and of [n, t], which may be something else
_SMOOTH = 0.3  # correlation of neighbouring values


def kind_of(outputs: Array, name: str = "", inputs: Sequence[tuple[int, ...]] = ()) -> Kind:
    """outputs: [n, ...] of the float model. inputs: the shapes of one sample of each."""
    if whole(outputs):
        return "answers"
    some = outputs[:_LOOKED_AT]
    places = math.prod(outputs.shape[2:])
    if outputs.ndim <= 2 or places == 1:
        return _of_vectors(floats(outputs).reshape(len(outputs), -1), name, inputs)
    if outputs.ndim == 3 and outputs.shape[1] <= 2 and _is_audio(some, _LONG):
        return "audio"
    if outputs.shape[1:] in inputs:
        return "values"  # an image made again, however decided its pixels are, is no area
    if is_detector(some):
        return "boxes"
    if _are_areas(some):
        return "areas"
    if _is_text(some):
        return "text"
    return "features" if are_of_tokens(outputs.shape, inputs) else "values"


def is_detector(outputs: Samples) -> bool:
    """Whether outputs [n, ...] of a float model hold boxes that can be told, and few of them."""
    form = boxes.form_of(outputs)
    if form is None:
        return False
    least = boxes.threshold(outputs, form)
    return form.sorted_out or boxes.share_over(outputs, form, least) <= _FEW_ANCHORS


def _of_vectors(x: Floats, name: str, inputs: Sequence[tuple[int, ...]]) -> Kind:
    """x: [n, d]."""
    width = x.shape[1]
    if width == 1:
        if not probabilities(x):
            return "number"
        share = float((x > 0.5).mean())
        return "yes-no" if len(x) > 1 and max(share, 1 - share) >= _ONE_CLASS else "classes"
    if probabilities(x, rows=True):
        return "same-class" if _one_wins(x, _ENOUGH) else "classes"
    if _is_audio(x, _LONGER):
        return "audio"
    if width >= _FEWEST_MADE_AGAIN and width in map(math.prod, inputs):
        return "reconstruction"
    if unit_vectors(x) or _EMBEDDING.search(name):
        return "embedding"
    if probabilities(x):
        return "yes-no"
    if _CLASSES.search(name):
        return "same-class" if _one_wins(x, _ENOUGH) else "classes"
    if _VALUES.search(name) or _one_wins(x, 2):
        return "values"
    wide = width >= _LAYER_WIDTH and width % _LAYER_STEP == 0
    return "embedding" if wide else "classes"


def _one_wins(x: Floats, least: int) -> bool:
    """Whether the same column [n, c] is the largest for nearly all of `least` samples or more, so that another network
    would agree by chance."""
    counts = np.bincount(x.argmax(axis=1))
    return len(x) >= least and bool(counts.max() >= _ONE_CLASS * len(x))


def _is_audio(x: Array, length: int) -> bool:
    """Whether [n, t] or [n, c, t] are waves."""
    if x.shape[-1] < length:
        return False
    wide = floats(x)
    deviation = float(wide.std())
    if deviation == 0 or abs(float(wide.mean())) > 0.1 * deviation:
        return False
    alike = float((wide[..., 1:] * wide[..., :-1]).mean()) / float((wide * wide).mean())
    return alike > _SMOOTH


def _are_areas(outputs: Array) -> bool:
    """outputs: [n, c, places ...] with more places than classes."""
    classes = outputs.shape[1]
    if classes >= math.prod(outputs.shape[2:]):
        return False
    if classes > 1:
        return outputs.ndim > 3 and probabilities(outputs, rows=True)
    if outputs.ndim < 4 or not probabilities(outputs):
        return False
    decided = float(((outputs < 0.1) | (outputs > 0.9)).mean())
    return decided >= _DECIDED and bool((outputs > 0.5).any())


def _is_text(outputs: Array) -> bool:
    """outputs: [n, t, classes]."""
    if outputs.ndim != 3 or outputs.shape[1] < _STEPS or outputs.shape[2] < 3:
        return False
    scores = floats(outputs)
    shares = np.exp(scores) if scores.max() <= 0 else scores
    if shares.min() < 0 or not np.allclose(shares.sum(axis=2), 1, atol=1e-2):
        return False
    return _BLANKS <= blank_of(outputs)[1] < 1
