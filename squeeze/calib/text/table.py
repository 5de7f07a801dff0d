"""Rows of text out of .csv, .tsv, .jsonl and .txt files; anything wrong is said with the file and the line.

.csv, .tsv   the first line names the columns, unless they are asked for by number; quotes of .csv as in RFC 4180, those
             of .tsv are characters like any other
.jsonl       one JSON object a line; its keys are the columns
.txt         one text a line, in the column `text`
.conll       a word and its tag a line (`conll`), in the columns `tokens` and `tags`

UTF-8, with or without a byte order mark; UTF-16 and UTF-32 with one.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from squeeze.calib.text import conll
from squeeze.errors import ConfigError
from squeeze.plain_text import printable

SUFFIXES = (".conll", ".csv", ".jsonl", ".tsv", ".txt")
TEXT = "text"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
# Byte order marks -> the encoding, which takes them away.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NULS_OF_ONE = 4  # bytes: where more than one in so many is 0, it is no UTF-8
_LONGEST_FIELD = (1 << 31) - 1  # characters: the most that the module csv takes everywhere
_MOST_SAID = 12  # names of columns
_MOST_SAID_CHARACTERS = 40  # of each

# Any: texts, numbers or lists of either, as JSON has them; of the other forms all are texts.
Value = Any


@dataclass(frozen=True)
class Table:
    """Rows [n] of the columns that were asked for, and the line of the file that each begins on."""

    path: Path
    rows: Sequence[Sequence[Value]]
    lines: Sequence[int]


def columns_of(path: Path) -> list[str]:
    """The names that the file's first row has. Raises ConfigError."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return [TEXT]
    text = _decoded(path)
    if suffix == ".conll":
        return list(conll.COLUMNS)
    if suffix == ".jsonl":
        return next((list(row) for _, row in _objects(path, text)), [])
    return next((row for _, row in _records(path, text)), [])


def read(path: Path, columns: Sequence[str], *, by_number: bool) -> Table:
    """The columns called so, or with `by_number` of these numbers from 1 on. Raises ConfigError."""
    suffix, text = path.suffix.lower(), _decoded(path)
    if suffix == ".txt":
        _check_names(path, ["1"] if by_number else [TEXT], columns)
        found: list[tuple[int, list[Value]]] = [
            (i, [line]) for i, line in enumerate(text.splitlines(), 1)
        ]
    elif suffix == ".conll":
        found = [(i, _values(path, i, row, columns)) for i, row in conll.sentences(path, text)]
    elif suffix == ".jsonl":
        found = [(i, _values(path, i, row, columns)) for i, row in _objects(path, text)]
    else:
        found = list(_cells(path, _records(path, text), columns, by_number=by_number))
    if not found:
        raise ConfigError(f"{path}: holds no rows; a line for each sample is needed")
    lines, rows = zip(*found, strict=True)
    return Table(path, rows, lines)


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    # Marks of UTF-32 before those of UTF-16, which begin alike.
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")
    if marked != "utf-8-sig":
        try:
            return data.decode(marked)
        except UnicodeDecodeError as e:
            name = marked.upper()
            raise ConfigError(
                f"{path}: begins with the byte order mark of {name}, but is none: {e.reason}; write the file as UTF-8"
            ) from e
    if len(data) < _NULS_OF_ONE * data.count(0):
        ends = "BE" if data[0] == 0 else "LE"
        raise ConfigError(
            f"{path}: looks like UTF-16 without a byte order mark; write the file as UTF-8, such as "
            f"iconv -f UTF-16{ends} -t UTF-8"
        )
    try:
        return data.decode(marked)
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError(
            f"{path}: line {line}: byte 0x{data[e.start]:02x} is not UTF-8; write the file as UTF-8, such as "
            "iconv -f LATIN1 -t UTF-8"
        ) from e


def _objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Value]]]:
    # Not splitlines: JSON texts may hold other ends of line as they are.
    for i, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as e:
            said = str(e) if isinstance(e, ValueError) else "too many brackets"
            raise ConfigError(f"{path}: line {i}: no JSON: {said}") from e
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {i}: got {line.strip():.40}, allowed: a JSON object")
        yield i, row


def _values(path: Path, line: int, row: dict[str, Value], columns: Sequence[str]) -> list[Value]:
    _check_names(path, list(row), columns, f"line {line}: ")
    return [row[name] for name in columns]


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not empty, and the line that it begins on."""
    delimiter = _DELIMITERS[path.suffix.lower()]
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    # The whole file is in memory, so that a limit on fields guards nothing; a quote left open ends in an error.
    csv.field_size_limit(max(csv.field_size_limit(), min(len(text), _LONGEST_FIELD)))
    begin = 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as e:
        raise ConfigError(
            f"{path}: line {begin}: {e}; is a quote left open? A quote inside a field is written twice"
        ) from e


def _cells(
    path: Path,
    records: Iterator[tuple[int, list[str]]],
    columns: Sequence[str],
    *,
    by_number: bool,
) -> Iterator[tuple[int, list[Value]]]:
    if by_number:
        places = [int(name) - 1 for name in columns]
        if min(places) < 0:
            raise ConfigError(f"{path}: column 0: columns are numbered from 1 on")
    else:
        _, names = next(records, (1, []))
        if not names:
            raise ConfigError(f"{path}: is empty; its first line names the columns")
        _check_names(path, names, columns)
        places = [names.index(name) for name in columns]
    for line, row in records:
        if len(row) <= max(places):
            raise ConfigError(
                f"{path}: line {line}: has {len(row)} column{'s' * (len(row) != 1)}, column {max(places) + 1} is wanted"
            )
        yield line, [row[place] for place in places]


def _check_names(path: Path, names: Sequence[str], columns: Sequence[str], where: str = "") -> None:
    for name in columns:
        if name not in names:
            raise ConfigError(
                f"{path}: {where}no column '{name}'; there are: {listed(names)}{_hint(path, names)}"
            )


def listed(names: Sequence[str]) -> str:
    """Names of columns for a message; a file without a line of names has whole texts there."""
    said = [
        n if len(n) <= _MOST_SAID_CHARACTERS else f"{n[:_MOST_SAID_CHARACTERS]}..."
        for n in names[:_MOST_SAID]
    ]
    return ", ".join(f"'{n}'" for n in said) + (", ..." if len(names) > _MOST_SAID else "")


# What may part columns instead.
_OTHERS = (";", "\t", "|", ",")


def _hint(path: Path, names: Sequence[str]) -> str:
    if path.suffix.lower() not in _DELIMITERS:
        return ""
    if len(names) == 1 and (found := next((sign for sign in _OTHERS if sign in names[0]), "")):
        wanted = "commas" if path.suffix.lower() == ".csv" else "tabs"
        return f"; are its columns parted by '{printable(found)}'? save it with {wanted}"
    return "; where the first line is no line of names, columns have numbers: --text 1 --label 2"
