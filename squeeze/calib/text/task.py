"""What a text set is for, told by its columns, the model's outputs and the metric that was named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from squeeze.calib.text.table import Table
from squeeze.end import End

PAIR_METRIC = "pair_spearman"
_EMBEDDING = re.compile(r"embed|pooled|pooler|hidden|feature|vector", re.I)
_CLASSES = re.compile(r"logit|prob|class|softmax|label|score", re.I)
_NARROWEST = 32  # numbers of an output without a telling name that is taken for an embedding


@dataclass(frozen=True)
class Task:
    """words: samples are lists of words. pairs: two columns are two samples each. metric: what the labels mean, None
    where they say it themselves. said: what was assumed."""

    words: bool
    pairs: bool
    metric: str | None
    said: tuple[str, ...] = ()


def task_of(
    tables: Sequence[Table],
    columns: int,
    *,
    pairs: bool | None,
    labelled: bool,
    outputs: Sequence[End] | None,
    metric: str | None,
) -> Task:
    """columns: how many have text. outputs: of the model, None where they are not known."""
    if columns == 1:
        return Task(isinstance(tables[0].rows[0][0], list), pairs=False, metric=None)
    said: tuple[str, ...] = ()
    if pairs is None and metric is not None and (labelled or metric == PAIR_METRIC):
        pairs = metric == PAIR_METRIC
    if pairs is None:
        pairs = outputs is None or any(_is_embedding(end) for end in outputs)
        what = "two samples that are compared" if pairs else "one sequence of both texts"
        other = "false" if pairs else "true"
        said = (f"a row is {what} (else pairs = {other} under [text])",)
    return Task(
        words=False, pairs=pairs, metric=PAIR_METRIC if pairs and labelled else None, said=said
    )


def _is_embedding(end: End) -> bool:
    if _CLASSES.search(end.name):
        return False
    if _EMBEDDING.search(end.name):
        return True
    width = (end.sizes or ("",))[-1]
    return isinstance(width, int) and width >= _NARROWEST and len(end.sizes or ()) == 2
