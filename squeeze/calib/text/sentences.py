"""The texts of a table as a tokenizer takes them, one a sample; rows without text are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from squeeze.calib.text.table import Table, Value
from squeeze.calib.text.task import Task
from squeeze.errors import ConfigError

# A text, two that make one sequence, or words.
Text = str | tuple[str, str] | list[str]


@dataclass(frozen=True)
class Sentences:
    """texts: of the samples, [n]; of pairs that are compared 2i and 2i + 1 are of row i. table: the rows that were
    kept; said: what was left out."""

    texts: Sequence[Text]
    table: Table
    said: str


def sentences_of(table: Table, columns: int, task: Task) -> Sentences:
    """columns: how many of the table's first have text. Raises ConfigError for what is none, with the line."""
    texts: list[Text] = []
    kept = []
    for i, (line, row) in enumerate(zip(table.lines, table.rows, strict=True)):
        parts = [_checked(table, line, value, words=task.words) for value in row[:columns]]
        if not all(parts):
            continue
        kept.append(i)
        if task.pairs or len(parts) == 1:
            texts += parts
        else:
            texts.append((str(parts[0]), str(parts[1])))
    if not kept:
        if columns > 1:
            raise ConfigError(
                f"{table.path}: no row has a text in each of {columns} columns; are they the right ones?"
            )
        raise ConfigError(f"{table.path}: all texts are empty; is it the right column?")
    empty = len(table.rows) - len(kept)
    said = f"{empty} row{'s' * (empty > 1)} of {table.path} without text {'are' if empty > 1 else 'is'} left out"
    left = replace(table, rows=[table.rows[i] for i in kept], lines=[table.lines[i] for i in kept])
    return Sentences(texts, left, said if empty else "")


def _checked(table: Table, line: int, value: Value, *, words: bool) -> str | list[str]:
    """The text without space around it, or the words; empty where there is none."""
    where = f"{table.path}: line {line}"
    if words:
        if not isinstance(value, list) or not all(isinstance(w, str) and w for w in value):
            raise ConfigError(
                f"{where}: got {value!s:.40}, allowed: a list of words, as the first line has"
            )
        for word in value:
            _check_characters(word, where)
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{where}: got {value!s:.40}, allowed: a text; is it the right column?")
    _check_characters(value, where)
    return value.strip()


def _check_characters(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise ConfigError(
            f"{where}: character {e.start} is half of one (\\u{ord(text[e.start]):04x}); write the other half, too"
        ) from e
