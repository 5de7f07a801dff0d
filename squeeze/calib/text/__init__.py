"""Text data: rows of .csv, .tsv, .jsonl, .txt and .conll files, tokenised with the model's own tokenizer, as arrays by
input.

    one column                       a sample each; labels are classes, names of classes, or numbers
    two columns, one embedding       both texts are samples, kept in one split; the label is the score of the pair
    two columns, anything else       one sequence of both, as cross-encoders take it
    a column of lists of words       tagging; the label is a list of tags, one a word

The arrays have the names that `keys` looks for: of the model's inputs, and of the splits where there are several files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib.keys import split_word
from squeeze.calib.lookups import Lookups
from squeeze.calib.rows import Array, Raw
from squeeze.calib.text import answers, arrays, conll, table, tagging
from squeeze.calib.text.declared import Asked, Columns, asked_for, refuse_for
from squeeze.calib.text.sentences import Sentences, sentences_of
from squeeze.calib.text.table import SUFFIXES, Table
from squeeze.calib.text.task import Task, task_of
from squeeze.calib.text.tokenised import Tokenised
from squeeze.calib.text.tokenizer import find, open_tokenizer
from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from squeeze.end import End

__all__ = [
    "SUFFIXES",
    "Asked",
    "Columns",
    "TextSet",
    "Tokenised",
    "asked_for",
    "is_text",
    "read",
    "refuse_for",
]

Readers = dict[str, Callable[[], Raw]]
_AFTER = {"fit": "", "calibrate": "_calibrate", "evaluate": "_evaluate"}
_WORDS = {"dev": "calibrate"}  # of files alone
# Names of columns that have labels.
_LABELS = ("class", "label", "labels", "score", "tag", "tags", "target")


@dataclass(frozen=True)
class TextSet:
    """members: array -> how it is read, as of other files. groups and rows: split -> array's name and reader; rows says
    which of `told.texts` a sample is. metric: what the labels mean, None where they say it themselves; said: what was
    assumed."""

    members: Readers
    groups: Mapping[str, tuple[str, Callable[[], Raw]]]
    rows: Mapping[str, tuple[str, Callable[[], Raw]]]
    class_names: tuple[str, ...]
    metric: str | None
    said: tuple[str, ...]
    told: Tokenised


def is_text(files: Sequence[Path], source: str) -> bool:
    """Whether a set is of texts. Raises ConfigError for a mixture."""
    texts = [f for f in files if f.suffix.lower() in SUFFIXES and not f.is_dir()]
    if texts and len(texts) < len(files):
        other = next(f for f in files if f not in texts)
        raise ConfigError(
            f"{source}: {other} is no text, {texts[0]} is; a set is of one or the other"
        )
    return bool(texts)


def read(
    files: Sequence[Path],
    wish: Columns,
    source: str,
    *,
    ends: tuple[Sequence[End], Sequence[End]] | None,
    without: set[str],
    model: str | None,
    metric: str | None,
    class_names: Sequence[str] = (),
    lookups: Lookups | None = None,
) -> TextSet:
    """Reads and tokenises. ends: inputs and outputs of the model, None where they are not known; without: inputs that
    need no tokens; model: the file or folder beside which the tokenizer is; metric: the one that was named;
    class_names: of the classes 0, 1, ..., where somebody said them; lookups: what the model looks tokens
    up in, where that is known.

    Raises ConfigError for anything wrong with files, columns, labels or the tokenizer.
    """
    columns, label = _columns(files[0], wish)
    asked = [*columns, *([label] if label else [])]
    by_number = wish.are_numbers and bool(wish.columns)
    needs = arrays.wanted(None if ends is None else ends[0], without, source)
    tokenizer = open_tokenizer(find(wish.tokenizer, model, source))
    tables = [table.read(path, asked, by_number=by_number) for path in files]
    task = task_of(
        tables,
        len(columns),
        pairs=wish.pairs,
        labelled=bool(label),
        outputs=None if ends is None else ends[1],
        metric=metric,
    )
    parts = [sentences_of(t, len(columns), task) for t in tables]
    tokens = [tokenizer.encoded(part.texts, words=task.words) for part in parts]
    length = arrays.length_for(
        [len(t.ids) for some in tokens for t in some], tokenizer, needs.fixed, wish.max_length
    )
    tokens = [
        tokenizer.shortened(part.texts, some, length.tokens, source, words=task.words)
        for part, some in zip(parts, tokens, strict=True)
    ]
    made = [arrays.padded(some, tokenizer, needs, length.tokens) for some in tokens]
    if lookups is not None:
        lookups.check(made, source, tokenizer.opened.id_to_token)
    kept = [part.table for part in parts]
    found = _answers(kept, len(columns), task, class_names or tokenizer.labels, bool(label))
    labels: Sequence[Array] | None = None if found is None else found.y
    if found is not None and labels is not None and task.words:
        task = replace(task, metric=tagging.metric_of(found.class_names))
        labels = tagging.aligned(kept, labels, tokens, length.tokens, left=tokenizer.pads_left)
    samples = sum(len(p.texts) for p in parts)
    said = [*task.said, *(part.said for part in parts if part.said)]
    said += [found.said] if found is not None and found.said else []
    said += [] if label else _unread(files[0], columns)
    said.append(f"samples have {length.tokens} tokens, {length.why}" + _cut(length.cut, samples))
    told = Tokenised(
        tokenizer=tokenizer.data,
        digest=tokenizer.digest,
        length=length.tokens,
        cut=length.cut,
        columns=tuple(columns),
        kinds=dict(needs.kinds),
        dtypes=dict(needs.dtypes),
        pad_id=tokenizer.pad_id,
        pads_left=tokenizer.pads_left,
        words=task.words,
        pooling=tokenizer.pooling,
        texts=tuple(text for part in parts for text in part.texts),
    )
    return _gathered(files, parts, made, labels, task, found, tuple(said), told)


def _columns(first: Path, wish: Columns) -> tuple[tuple[str, ...], str]:
    """The columns of text and of the label, "" for none. Raises ConfigError where nobody says which."""
    if wish.columns:
        return wish.columns, wish.label
    names = table.columns_of(first)
    if first.suffix.lower() == ".conll":
        tokens, tags = conll.COLUMNS
        return (tokens,), wish.label or tags
    left = [name for name in names if name != wish.label]
    known = [name for name in (table.TEXT, "sentence", "tokens") if name in left]
    if known or len(left) == 1:
        return ((known or left)[0],), wish.label
    raise ConfigError(
        f"{first}: which column has the text? There are: {table.listed(names)}; say it with --text COLUMN (two for "
        "pairs: --text ONE,OTHER), or columns under [text] in a TOML"
    )


def _unread(first: Path, columns: Sequence[str]) -> list[str]:
    """What is said of a column that has labels by its name, where nobody asked for any."""
    names = [name for name in table.columns_of(first) if name not in columns]
    return [
        f"column '{name}' is not read (--label {name} takes it for labels)"
        for name in names
        if name.lower() in _LABELS
    ][:1]


def _answers(
    tables: Sequence[Table], column: int, task: Task, names: Sequence[str], labelled: bool
) -> answers.Answers | None:
    if not labelled:
        return None
    if task.words:
        return tagging.tags(tables, column, names)
    if task.pairs:
        return answers.Answers(answers.numbers(tables, column, "as the score of a pair is"))
    return answers.classes_or_numbers(tables, column, names)


def _cut(count: int, samples: int) -> str:
    return f"; {count} of {samples} samples are longer and were cut" if count else ""


def _gathered(
    files: Sequence[Path],
    parts: Sequence[Sentences],
    made: Sequence[dict[str, Array]],
    labels: Sequence[Array] | None,
    task: Task,
    found: answers.Answers | None,
    said: tuple[str, ...],
    told: Tokenised,
) -> TextSet:
    """The arrays of each split, of one file or of several one after the other."""
    splits = _splits(files)
    members: Readers = {}
    groups: dict[str, tuple[str, Callable[[], Raw]]] = {}
    rows: dict[str, tuple[str, Callable[[], Raw]]] = {}
    first_row = np.cumsum([0, *(len(p.texts) for p in parts)])
    first_pair = np.cumsum([0, *(len(p.table.rows) for p in parts)])
    for split in dict.fromkeys(splits):
        here = [i for i, one in enumerate(splits) if one == split]
        after = _AFTER[split]
        for name in made[0]:
            members[f"{name}{after}"] = _given([made[i][name] for i in here])
        numbers = [np.arange(first_row[i], first_row[i + 1]) for i in here]
        rows[split] = (f"rows{after}", _given(numbers))
        if task.pairs:
            pairs = [np.repeat(np.arange(first_pair[i], first_pair[i + 1]), 2) for i in here]
            groups[split] = ("the pairs", _given(pairs))
            if labels is not None:
                scores = [np.repeat(labels[i], 2) for i in here]
                y = [np.stack(both, axis=1) for both in zip(pairs, scores, strict=True)]
                members[f"y{after}"] = _given(y)
        elif labels is not None:
            members[f"y{after}"] = _given([labels[i] for i in here])
    return TextSet(
        members, groups, rows, () if found is None else found.class_names, task.metric, said, told
    )


def _splits(files: Sequence[Path]) -> list[str]:
    """The split of each file, by a word of its name where there are several."""
    if len(files) == 1:
        return ["fit"]
    return [
        next((s for word in _words(path) if (s := _WORDS.get(word) or split_word(word))), "fit")
        for path in files
    ]


def _words(path: Path) -> list[str]:
    return path.stem.lower().replace("-", "_").replace(".", "_").split("_")


def _given(parts: Sequence[Array]) -> Callable[[], Raw]:
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return lambda: whole
