"""How stored samples become inputs, for each input: what a TOML says, and what is asked for on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from squeeze.calib import keys as calib_keys
from squeeze.calib import presets
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.presets import Asked
from squeeze.calib.rows import Raw
from squeeze.calib.toml import Source
from squeeze.errors import ConfigError, unknown


def declared_for(
    given: Source, names: list[str], inputs: Sequence[str] | None, source: str
) -> dict[str, Preprocess]:
    """By input; what a TOML says without a name is for the only one. names: those that have arrays."""
    plain, tables = given.declared.preprocess, given.preprocess_of
    unnamed = names == [calib_keys.ONLY] and not inputs and len(tables) == 1
    allowed = list(tables) if unnamed else list(inputs or names)
    if strange := [name for name in tables if name not in allowed]:
        raise ConfigError(unknown(f"{source}: preprocess: input", strange[0], allowed))
    if len(names) == 1:
        return {names[0]: next(iter(tables.values()), plain)}
    if plain != Preprocess():
        raise ConfigError(
            f"{source}: preprocess: there are inputs {', '.join(names)}; say for each under [preprocess.INPUT]"
        )
    return {name: tables.get(name, plain) for name in names}


def asked_for(
    asked: Asked, said: dict[str, Preprocess], arrays: Mapping[str, Raw], source: str
) -> dict[str, Preprocess]:
    """What a TOML said, with what was asked for on the command line."""
    if len(said) > 1:
        raise ConfigError(
            f"{source}: --preprocess: there are inputs {', '.join(said)}; say for each under [preprocess.INPUT] of a "
            "TOML"
        )
    ((name, plain),) = said.items()
    return {name: presets.asked_for(asked, plain, next(iter(arrays.values())), source)}
