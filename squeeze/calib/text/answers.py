"""What the label column of a text set says: classes by number or name, numbers, tags of words, scores of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from squeeze.calib.rows import Array
from squeeze.calib.text.table import Table, Value
from squeeze.errors import ConfigError, unknown

IGNORED = (
    -1
)  # in place of a tag where there is none: special tokens, and all but the first token of a word
MOST_CLASSES = 1000  # that are told by names, or of tags
_MOST_NUMBERED = 1 << 31
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Answers:
    """Labels of each table, and the names of the classes where they are names."""

    y: Sequence[Array]
    class_names: tuple[str, ...] = ()
    said: str = ""


def numbers(tables: Sequence[Table], column: int, what: str) -> list[Array]:
    """A number of each row, float64 [n]. Raises ConfigError with the line of what is none."""
    return [
        np.asarray(
            [_number(t, line, row[column], what) for line, row in zip(t.lines, t.rows, strict=True)]
        )
        for t in tables
    ]


def _number(table: Table, line: int, value: Value, what: str) -> float:
    found = _as_number(value)
    if found is None or not abs(found) <= _LARGEST:
        raise ConfigError(
            f"{table.path}: line {line}: label '{value!s:.40}' is no number of float32, {what}; is it the right column?"
        )
    return found


def _as_number(value: Value) -> float | None:
    if isinstance(value, (list, dict)) or value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def classes_or_numbers(tables: Sequence[Table], column: int, names: Sequence[str]) -> Answers:
    """Whole numbers are classes, other numbers are numbers, and the rest are names of classes. names: those of the
    model, in its order; where they are not the labels', the order is that of sorted names, which is said."""
    values = [row[column] for table in tables for row in table.rows]
    if all(_as_number(v) is not None for v in values) and not set(map(str, values)) <= set(names):
        found = numbers(tables, column, "though others are")
        if all(
            _are_classes(y) and not _are_floats(t, column)
            for y, t in zip(found, tables, strict=True)
        ):
            known = max(int(y.max()) for y in found) < len(names)
            return Answers([y.astype(np.int64) for y in found], tuple(names) if known else ())
        return Answers([y.astype(np.float32) for y in found])
    here = sorted(
        {
            name(t, line, row[column])
            for t in tables
            for line, row in zip(t.lines, t.rows, strict=True)
        }
    )
    order, number, said = ordered(here, names, f"{tables[0].path}: labels")
    return Answers(
        [np.asarray([number[str(row[column])] for row in t.rows], np.int64) for t in tables],
        order,
        said,
    )


def _are_classes(y: Array) -> bool:
    return bool((y == np.round(y)).all() and (np.abs(y) < _MOST_NUMBERED).all())


def _are_floats(table: Table, column: int) -> bool:
    """Whether a number is written as one that need not be whole: 3.0 is no class."""
    return any(isinstance(v := row[column], float) or "." in str(v) for row in table.rows)


def name(table: Table, line: int, value: Value) -> str:
    """The name of a class. Raises ConfigError for none."""
    if isinstance(value, (list, dict)) or value is None or not str(value).strip():
        raise ConfigError(
            f"{table.path}: line {line}: no label; give each row one, or take the row away"
        )
    return str(value)


def ordered(
    here: Sequence[str], names: Sequence[str], where: str
) -> tuple[tuple[str, ...], dict[str, int], str]:
    """The names of all classes, the number of each label, and what was assumed. here: the names that labels have,
    sorted; names: the model's, which case alone may tell from the labels'.

    Raises ConfigError where labels and the model share some names but not all, and for too many to be classes.
    """
    known = _numbers(here, names)
    if len(known) == len(here):
        return tuple(names), known, _cases(known, names)
    if known or _folded(here) & _folded(names):
        strange = next(one for one in here if one not in known)
        raise ConfigError(unknown(f"{where}: class", strange, names))
    if len(here) > MOST_CLASSES:
        raise ConfigError(
            f"{where}: {len(here)} different texts, which are no classes; is it the right column?"
        )
    first = ", ".join(here[:3]) + (", ..." if len(here) > 3 else "")
    said = f"classes are numbered in the order of their names: {first}"
    return tuple(here), {one: i for i, one in enumerate(here)}, said


def _folded(names: Sequence[str]) -> set[str]:
    return {name.casefold() for name in names}


def _numbers(here: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The model's number of each label that is one of its names, or one alone but for case."""
    exact = {name: i for i, name in enumerate(names)}
    alike: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        alike.setdefault(name.casefold(), []).append(i)
    found = {one: [exact[one]] if one in exact else alike.get(one.casefold(), []) for one in here}
    return {one: numbers[0] for one, numbers in found.items() if len(numbers) == 1}


def _cases(number: Mapping[str, int], names: Sequence[str]) -> str:
    """What is said of labels that only case tells from the model's names; empty where there are none."""
    other = [f"'{one}' is '{names[i]}'" for one, i in number.items() if one != names[i]]
    more = ", ..." if len(other) > 3 else ""
    said = f"labels are the model's classes but for upper and lower case: {', '.join(other[:3])}"
    return said + more if other else ""
