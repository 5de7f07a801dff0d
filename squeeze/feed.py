"""Feeds: one batch of what a model takes, input name -> samples [n, ...]; samples first whatever the model has first.

Outputs come back in the same form. `Passes` are calibration samples: each call begins a fresh pass over the same feeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze.interface import Interface

Array = NDArray[Any]  # Any: of any element type
Feed = Mapping[str, Array]

_STEP = 4  # tokens


def count(feed: Feed) -> int:
    """How many samples there are; 0 in an empty feed."""
    return len(next(iter(feed.values()))) if feed else 0


def part(feed: Feed, start: int, stop: int | None = None) -> dict[str, Array]:
    """Samples start..stop of every input."""
    return {name: x[start:stop] for name, x in feed.items()}


def as_taken(feed: Feed) -> Array | Feed:
    """The samples themselves where there is one input, else the feed: what guides and students are given."""
    return feed if len(feed) > 1 else next(iter(feed.values()))


def joined(feeds: Iterable[Feed]) -> dict[str, Array]:
    """All samples of some feeds of one kind, one after the other."""
    parts = list(feeds)
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def repeated(feed: Feed, size: int) -> dict[str, Array]:
    """`size` samples: those of `feed`, filled up with its last one."""
    missing = size - count(feed)
    return {n: np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) for n, x in feed.items()}


@dataclass(frozen=True)
class Padding:
    """Samples that were filled up behind their ends, for a model that gives the same without. tells: the input,
    [n, width], that has nothing but `filler` there: a mask 0, ids without one the padding's. inputs: all that are
    [n, width]; outputs: those of the model."""

    tells: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    filler: int = 0

    def order(self, feed: Feed) -> NDArray[np.intp]:
        """The samples sorted by length."""
        return np.argsort(tokens_of(feed[self.tells], self.filler), kind="stable")

    def parts(self, feed: Feed, size: int) -> Iterator[dict[str, Array]]:
        """The samples of `feed`, sorted by length, at most `size` at a time, each part as wide as its longest."""
        order = self.order(feed)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield self.cut({name: x[rows] for name, x in feed.items()})

    def cut(self, feed: Feed) -> dict[str, Array]:
        """All samples of `feed`, as wide as the longest of them."""
        rows = feed[self.tells]
        width = padded_width(int(tokens_of(rows, self.filler).max()), rows.shape[1])
        return {n: x[:, :width] if n in self.inputs else x for n, x in feed.items()}


def tokens_of(rows: Array, filler: int) -> NDArray[np.intp]:
    """How many of each of `rows`, [n, width], are before the `filler` at its end."""
    inside = rows[:, ::-1] != filler
    behind = np.where(inside.any(axis=1), inside.argmax(axis=1), rows.shape[1])
    return np.asarray(rows.shape[1] - behind, np.intp)


def padded_width(longest: int, width: int) -> int:
    """How wide a batch is whose longest sample has so many tokens, of data that are `width` wide: a multiple, so that
    not every batch has a size of its own."""
    return min(width, -(-max(1, longest) // _STEP) * _STEP)


@dataclass(frozen=True)
class Passes:
    """Calibration samples of a model with this interface. workers: how many cores may work on them; what is found does
    not depend on it. padding: what of the samples may be left away; None for nothing."""

    interface: Interface
    begin: Callable[[], Iterator[Feed]]
    workers: int = 1
    padding: Padding | None = None

    def __call__(self) -> Iterator[Feed]:
        """A fresh pass; all passes give the same feeds."""
        return self.begin()
