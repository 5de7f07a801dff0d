"""TOML files and keys of --set become nouns; what is wrong is said with the place, what we got and what is allowed."""

from __future__ import annotations

import reprlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from squeeze import paths
from squeeze.errors import ConfigError, unknown
from squeeze.spec.frozen import Frozen
from squeeze.spec.students import NAME, TABLE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Collection

F = TypeVar("F", bound=Frozen)


_MOST_SAID = 80


class _Got(reprlib.Repr):
    """What somebody wrote in some words, however long or deep it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _MOST_SAID

    def repr_int(self, x: int, level: int) -> str:
        # Python writes out no number of more than 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 1000 else "a huge integer"


def names(folder: str) -> list[str]:
    """The names that are shipped in `folder` ('targets', 'recipes')."""
    return sorted(p.stem for p in paths.shipped(folder).glob("*.toml"))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError with the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    except RecursionError as e:
        raise ConfigError(f"{path}: arrays or tables within each other, too deep to be read") from e
    except (
        ValueError
    ) as e:  # TOML's own errors, text that is no UTF-8, integers of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {e}") from e


def parse(kind: type[F], data: dict[str, Any], where: str, overridden: Collection[str] = ()) -> F:
    """`data` as `kind`; a ConfigError names the key, what we got, what is allowed, and the nearest known key.

    where: the file; overridden: the dotted keys that --set gave, of which the file knows nothing."""
    try:
        return kind.model_validate(data)
    except ValidationError as e:
        at = ".".join(_place(e))
        given = any(at == key or at.startswith(f"{key}.") for key in overridden)
        raise ConfigError(_explain(kind, e, "--set" if given else where)) from e


def load(
    kind: type[F], folder: str, source: str | Path, overrides: dict[str, Any] | None = None
) -> F:
    """The file of `kind` shipped in `folder` as `source`, or lying at that path. Raises ConfigError."""
    path = Path(source)
    if path.suffix != ".toml":
        path = paths.shipped(folder) / f"{source}.toml"
        if not path.is_file():
            raise ConfigError(unknown(folder.rstrip("s"), str(source), names(folder)))
    data = read_toml(path)
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        table = data
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {dotted:.80}: '{parent:.80}' is a value, not a table")
        table[leaf] = value
    return parse(kind, data, str(path), set(overrides or ()))


def _explain(kind: type[Frozen], error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    dotted = ".".join(_place(error))[:_MOST_SAID]
    if first["type"] == "extra_forbidden":
        owner: type[BaseModel] = kind
        for part in first["loc"][:-1]:
            named = {f.alias or n: f for n, f in owner.model_fields.items()}
            # An index of a list, or the name of a kind of table, leads to no other.
            owner = table(named[part].annotation) if part in named else owner
        known = [f.alias or n for n, f in owner.model_fields.items()]
        return unknown(f"{where}: key {dotted}", str(first["loc"][-1])[:_MOST_SAID], known)
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "tuple_type":
        said = (
            """takes a list, such as ["one", "two"]; a shell wants it in quotes: '["one", "two"]'"""
        )
    if not dotted:  # of the whole table: what it holds is not repeated
        return f"{where}: {said}"
    got = "" if first["type"] == "missing" else f" (got {_Got().repr(first['input'])})"
    return f"{where}: {dotted}: {said}{got}"


def _place(error: ValidationError) -> list[str]:
    """The keys that lead to the first thing that is wrong."""
    return [str(p) for p in error.errors()[0]["loc"] if p not in (NAME, TABLE)]


def table(annotation: Any) -> type[BaseModel]:  # Any: annotations are only known at run time
    """The kind of table that values of a field are, or hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    within = (table(inner) for inner in get_args(annotation) if inner is not type(None))
    return next((found for found in within if found is not BaseModel), BaseModel)
