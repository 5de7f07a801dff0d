"""Taggers of names and the like: F1 of whole spans, as conlleval has it.

Tags are classes called B-KIND (a span begins), I-KIND (it goes on) and O (none); E- and L- (it ends), S- and U- (it is
one token) are understood too. An I- that goes on with nothing begins a span. A span is right where its begin, its end
and its kind are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squeeze.errors import ConfigError
from squeeze.metrics.metric import Array, Floats, Metric
from squeeze.metrics.sums import Samples, Sums, total
from squeeze.metrics.token_accuracy import NONE, check_classes, tags

OUTSIDE = "O"
_BEGIN, _GO_ON, _END = "BSU", "IEL", "ELSU"

Span = tuple[int, int, str]  # first token, the one behind the last, kind


@dataclass(frozen=True)
class Tag:
    """kind: of its span; None outside. begins, ends: whether the span does, whatever is beside it."""

    kind: str | None
    begins: bool = False
    ends: bool = False


def span_f1(outputs: Array, labels: Array, class_names: Sequence[str]) -> float:
    """In percent of spans: 2 * right / (found + labelled); 100 where there are none. outputs: [n, t, classes]; labels:
    [n, t], -1 for tokens that do not count, which are passed over."""
    return total(Sums(_each, _value, lambda a, b: _learn(a, b, class_names)), outputs, labels)


def are_tags(names: Sequence[str]) -> bool:
    """Whether names of classes are tags of spans."""
    return any(n != OUTSIDE for n in names) and all(_tag(name) is not None for name in names)


def spans(found: Sequence[Tag]) -> set[Span]:
    """Those in the tags of one sample's tokens."""
    made: set[Span] = set()
    begin, kind = 0, None
    for i, tag in enumerate([*found, Tag(None)]):
        if kind is not None and (tag.kind != kind or tag.begins):
            made.add((begin, i, kind))
            kind = None
        if tag.kind is not None and kind is None:
            begin, kind = i, tag.kind
        if kind is not None and tag.ends:
            made.add((begin, i + 1, kind))
            kind = None
    return made


def _tag(name: str) -> Tag | None:
    if name == OUTSIDE:
        return Tag(None)
    mark, dash, kind = name.partition("-")
    if not dash or not kind or mark not in (*_BEGIN, *_GO_ON):
        return None
    return Tag(kind, begins=mark in _BEGIN, ends=mark in _END)


def _learn(labels: Samples, given: Samples, class_names: Sequence[str]) -> list[Tag]:
    check_classes("span_f1", labels, given)
    shape = given[:1].shape
    known = max(int(labels[:].max()) + 1, shape[2] if len(shape) == 3 else 0)
    if not are_tags(class_names) or len(class_names) < known:
        raise ConfigError(
            f"metric span_f1: needs the names of {known} classes as O, B-KIND and I-KIND, got "
            f"{', '.join(class_names[:5]) or 'none'}; give tags by name, class_names in a TOML, or use token_accuracy"
        )
    return [_tag(name) or Tag(None) for name in class_names]


def _each(outputs: Array, labels: Array, known: list[Tag]) -> Floats:
    """Of each sample the spans that are right, found and labelled: [n, 3]."""
    answers = tags("span_f1", outputs, labels)
    counts = []
    for mine, wanted in zip(answers, labels, strict=True):
        counted = wanted != NONE
        a, b = (spans([known[tag] for tag in row[counted]]) for row in (mine, wanted))
        counts.append((len(a & b), len(a), len(b)))
    return np.asarray(counts, np.float64).reshape(-1, 3)


def _value(sums: Floats, known: list[Tag]) -> Floats:
    both = sums[..., 1] + sums[..., 2]
    return np.asarray(
        100 * np.divide(2 * sums[..., 0], both, out=np.ones_like(both), where=both > 0)
    )


METRIC = Metric(
    key="span_f1",
    name="F1 of spans",
    title="spans found (F1, exact)",
    unit="%",
    fn=span_f1,
    compares="classes",
    needs="labels",
    labels="tags",
    axes=(1, 2),
    sums=Sums(_each, _value, _learn),
    asks=frozenset({"class_names"}),
)
