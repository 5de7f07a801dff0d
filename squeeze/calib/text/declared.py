"""What is said of text data: which columns hold it, the labels, the tokenizer and the longest sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from squeeze.errors import ConfigError
from squeeze.spec import Frozen, parse

Asked = Mapping[str, Any]  # Any: values of keys


class Columns(Frozen):
    """[text] of a TOML, or --text, --label, --tokenizer and --max-length.

    columns: one or two, by the names of the first line, or by numbers from 1 on for files without such a line; empty
    for the only column, or the one called text. tokenizer: a tokenizer.json; empty for the one beside the model.
    pairs: whether two columns are two samples that are compared; false for one sequence of both; None to tell it by
    the model.
    """

    columns: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), max_length=2)
    label: str = ""
    tokenizer: str = ""
    max_length: int | None = Field(None, ge=1)  # tokens
    pairs: bool | None = None

    @field_validator("columns", mode="before")
    @classmethod
    def _one_column(cls, columns: Any) -> Any:  # Any: whatever the TOML holds
        if isinstance(columns, (str, int)):
            columns = (columns,)
        return tuple(str(c) if type(c) is int else c for c in columns)

    @field_validator("label", mode="before")
    @classmethod
    def _number(cls, label: Any) -> Any:  # Any: whatever the TOML holds
        return str(label) if type(label) is int else label

    @property
    def are_numbers(self) -> bool:
        """Whether columns are told by numbers, so that the first line of a file is no line of names."""
        return all(name.isdecimal() for name in (*self.columns, *filter(None, [self.label])))


def asked_for(asked: Asked | None, said: Columns | None) -> Columns:
    """What was asked for, over what a TOML said. Raises ConfigError."""
    known = {} if said is None else said.model_dump(exclude_unset=True)
    return parse(Columns, {**known, **(asked or {})}, "--text")


def refuse_for(asked: Asked | None, said: Columns | None, source: str) -> None:
    """Raises ConfigError where text options are given for data that are no texts."""
    if asked:
        raise ConfigError(
            f"{source}: is no text; --text, --label, --tokenizer and --max-length are for .csv, .tsv, .jsonl, .txt and "
            ".conll"
        )
    if said is not None:
        raise ConfigError(
            f"{source}: [text] is for data in .csv, .tsv, .jsonl, .txt or .conll files"
        )
