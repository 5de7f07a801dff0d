"""Sentences of .conll files: a word a line with its tag last, a blank line behind each sentence, as CoNLL-2003 has it.

What stands between the two is passed over, and so are lines of comments (#) and -DOCSTART-.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from squeeze.errors import ConfigError

COLUMNS = ("tokens", "tags")
_DOCUMENT = "-DOCSTART-"


def sentences(path: Path, text: str) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """The line that each begins on, and its words and tags. Raises ConfigError for a word without a tag."""
    words: list[str] = []
    tags: list[str] = []
    begin = 1
    for i, line in enumerate([*text.split("\n"), ""], 1):
        fields = line.split()
        if not fields or fields[0] == _DOCUMENT:
            if words:
                yield begin, dict(zip(COLUMNS, (words, tags), strict=True))
            words, tags = [], []
            continue
        if line.startswith("# "):
            continue
        if len(fields) < 2:
            raise ConfigError(
                f"{path}: line {i}: got '{fields[0]:.40}', allowed: a word and its tag"
            )
        begin = begin if words else i
        words.append(fields[0])
        tags.append(fields[-1])
