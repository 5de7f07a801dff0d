"""What a metric says of itself: everything that scoring, losses, search, calibration and the report ask about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.records import Records
from squeeze.metrics.sums import Array, Floats, Sums

__all__ = ["Array", "Floats", "Metric"]

_TWO_DIGITS = ("%", "points", "dB")  # units of which two digits behind the point say enough


@dataclass(frozen=True)
class Metric:
    """One way to judge outputs.

    key: what a recipe or command line says. name: for people, beside a number; title: for people, alone. unit: "%" and
    "points" are of a scale of 100; "" has none. axes: the fewest and most axes of a sample, where `compares` does not
    say it.
    fn: (outputs [n, ...], what they should be) -> value; the second is the labels, or the teacher's outputs where there
    are none or `needs` is "teacher".
    compares: classes; values; directions, where a factor does not matter; anything, for a function of the user's.
    needs: labels, or the teacher's outputs, or either. labels: what they are where they are neither classes nor
    numbers: boxes of detectors, [n, boxes, 5], or texts, [n, length]; both filled up with -1; tags of tokens,
    [n, length], with -1 where there is none; pairs, [n, 2], the number of a sample's pair and the pair's score. many:
    also takes several yes-or-no labels of one sample.
    pairs: sets samples of one class against those of another, so that both must be there.
    drop_in: a drop is a difference in points, or the percent by which an error grew. points: value -> points that are
    lost at it, for metrics whose own differences are no measure; one point is a sensible limit in either.
    sums: the same as `fn`, as a function of sums over samples; then outputs need not be kept. records: the same as a
    function of small records of the samples.
    per_sample: as `fn`, the values [n] whose mean is the metric; where it is one. share: those are hits and misses.
    resampled: as `fn`, with counts [b, n] of how often each sample is drawn -> values [b]; NaN where there is none.
    With none of these an interval calls `fn` again and again.
    together: (outputs, labels) -> the same of what several samples are judged by together, one row each, from which
    `resampled` draws.
    takes_all: `fn` gets the outputs of the model by name. asks: what else it is given by name: "inputs" (input name ->
    [n, ...]), "groups" ([n]), "class_names"
    (of the classes 0, 1, ...).
    """

    key: str
    name: str
    title: str
    unit: str
    fn: Callable[..., float]
    compares: Literal["classes", "values", "directions", "anything"]
    needs: Literal["labels", "teacher", "either"] = "either"
    labels: Literal["plain", "boxes", "text", "tags", "pairs"] = "plain"
    many: bool = False
    pairs: bool = False
    higher_is_better: bool = True
    drop_in: Literal["points", "percent"] = "points"
    points: Callable[[float], float] | None = None
    axes: tuple[int, int] | None = None
    sums: Sums | None = None
    records: Records | None = None
    per_sample: Callable[[Array, Array], Floats] | None = None
    share: bool = False
    resampled: Callable[[Array, Array, NDArray[np.int64]], Floats] | None = None
    together: Callable[[Array, Array], tuple[Array, Array]] | None = None
    takes_all: bool = False
    asks: frozenset[str] = frozenset()

    @property
    def classifies(self) -> bool:
        """Whether labels must be classes, of which there are two at least."""
        return self.compares == "classes" and self.needs == "labels"

    @property
    def takes_numbers(self) -> bool:
        """Whether labels are real numbers, whatever type they are stored in."""
        return self.compares in ("values", "directions")

    def drop(self, before: float, after: float) -> float:
        """How much worse `after` is: in points, or the percent by which an error grew; negative for a gain."""
        if self.points is not None:
            return self.points(after) - self.points(before)
        if self.drop_in == "points":
            return before - after if self.higher_is_better else after - before
        if before == after:
            return 0.0
        return 100 * (after / before - 1) if before > 0 else math.inf

    def describe(self, value: float) -> str:
        """The value for people, such as "94.18 % top-1"."""
        number = f"{value:.2f}" if self.unit in _TWO_DIGITS else f"{value:.4g}"
        return " ".join(word for word in (number, self.unit, self.name) if word)
