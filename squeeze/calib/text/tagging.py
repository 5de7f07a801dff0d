"""Tags of words as labels of tokens: that of a word is its first token's, all other tokens have none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squeeze.calib.rows import Array
from squeeze.calib.text.answers import IGNORED, MOST_CLASSES, Answers, name, ordered
from squeeze.calib.text.arrays import place
from squeeze.calib.text.table import Table
from squeeze.calib.text.tokenizer import Tokens
from squeeze.errors import ConfigError
from squeeze.metrics.span_f1 import are_tags

_NO_TAG = (-100, IGNORED)  # numbers that others write for it


def tags(tables: Sequence[Table], column: int, names: Sequence[str]) -> Answers:
    """The tags of each row's words, [n] lists of numbers as one array of objects. names: the model's classes.

    Raises ConfigError for a row without a tag for each word.
    """
    for table in tables:
        for line, row in zip(table.lines, table.rows, strict=True):
            _check(table, line, row[0], row[column])
    values = [row[column] for table in tables for row in table.rows]
    if all(type(tag) is int for row in values for tag in row):
        found = [_rows(t, column, None) for t in tables]
        return Answers(found, tuple(names))
    here = sorted(
        {
            name(t, n, tag)
            for t in tables
            for n, row in zip(t.lines, t.rows, strict=True)
            for tag in row[column]
        }
    )
    order, number, said = ordered(here, names, f"{tables[0].path}: tags")
    return Answers([_rows(t, column, number) for t in tables], order, said)


def metric_of(names: Sequence[str]) -> str:
    """What tags of these names are judged by where nobody says it."""
    return "span_f1" if are_tags(names) else "token_accuracy"


def _check(table: Table, line: int, words: list[str], given: object) -> None:
    if isinstance(given, list) and len(given) == len(words):
        return
    got = f"{len(given)} tags" if isinstance(given, list) else f"{given!s:.40}"
    raise ConfigError(
        f"{table.path}: line {line}: got {got}, allowed: a list with a tag for each of {len(words)} words"
    )


def _rows(table: Table, column: int, number: dict[str, int] | None) -> Array:
    rows = np.empty(len(table.rows), object)
    for i, row in enumerate(table.rows):
        rows[i] = [tag if number is None else number[str(tag)] for tag in row[column]]
    return rows


def aligned(
    tables: Sequence[Table],
    given: Sequence[Array],
    tokens: Sequence[Sequence[Tokens]],
    length: int,
    *,
    left: bool,
) -> list[Array]:
    """Labels [n, length] of each table's tokens; -1 where there is no tag. Raises ConfigError for a negative one."""
    found = []
    for table, rows, some in zip(tables, given, tokens, strict=True):
        labels = np.full((len(rows), length), IGNORED, np.int64)
        for i, (row, one) in enumerate(zip(rows, some, strict=True)):
            if bad := [tag for tag in row if not 0 <= tag < MOST_CLASSES and tag not in _NO_TAG]:
                raise ConfigError(
                    f"{table.path}: line {table.lines[i]}: tag {bad[0]}, allowed: classes 0, 1, ..., and -100 "
                    "for none"
                )
            labels[i, place(len(one.ids), length, left=left)] = _of_tokens(row, one.words)
        found.append(labels)
    return found


def _of_tokens(row: Sequence[int], words: Sequence[int | None]) -> list[int]:
    last = None
    found = []
    for word in words:
        first = word is not None and word != last
        found.append(row[word] if first and word is not None and row[word] >= 0 else IGNORED)
        last = word if word is not None else last
    return found
