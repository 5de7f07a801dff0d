"""The TOML of a calibration set: where the arrays are, how they are preprocessed, split and judged. Strict."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator

from squeeze.calib.keys import ONLY, Place
from squeeze.calib.modality import Kind
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.text.declared import Columns
from squeeze.errors import ConfigError
from squeeze.licence import spdx
from squeeze.spec import Frozen, parse, read_toml

_VARIABLE = re.compile(r"\$\{(\w+)\}[/\\]?(.*)")


class Arrays(Frozen):
    """Names of arrays; what is left empty goes by the table of names that are understood. x for a model with one input,
    inputs (input name -> array) for one with several; groups: a whole number for each sample."""

    x: str = ""
    y: str = ""
    x_calibrate: str = ""
    y_calibrate: str = ""
    x_evaluate: str = ""
    y_evaluate: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    inputs_calibrate: dict[str, str] = Field(default_factory=dict)
    inputs_evaluate: dict[str, str] = Field(default_factory=dict)
    groups: str = ""
    groups_calibrate: str = ""
    groups_evaluate: str = ""

    def given(self) -> dict[Place, str]:
        """What is said of any place."""
        found: dict[Place, str] = {}
        for split, after in (("fit", ""), ("calibrate", "_calibrate"), ("evaluate", "_evaluate")):
            values = self.model_dump()
            if samples := values[f"x{after}"]:
                found[Place(split, ONLY)] = samples
            found |= {Place(split, name): array for name, array in values[f"inputs{after}"].items()}
            if labels := values[f"y{after}"]:
                found[Place(split, None)] = labels
        return found

    def of_groups(self) -> dict[str, str]:
        """Split -> the array with the groups of its samples, as far as named."""
        named = {"fit": self.groups, "calibrate": self.groups_calibrate}
        return {k: v for k, v in {**named, "evaluate": self.groups_evaluate}.items() if v}

    @model_validator(mode="after")
    def _samples_first(self) -> Arrays:
        given = self.given()
        named = {place.split for place in given if place.input}
        if given and "fit" not in named and named != {"calibrate", "evaluate"}:
            raise ValueError(
                "x is missing (or inputs); when one array is named, the samples to fit must be, or those to calibrate "
                "and to evaluate"
            )
        if self.inputs and any((self.x, self.x_calibrate, self.x_evaluate)):
            raise ValueError("allowed: x for a model with one input, or inputs, not both")
        for table in (self.inputs_calibrate, self.inputs_evaluate):
            if table and table.keys() != self.inputs.keys():
                raise ValueError(
                    "inputs_calibrate and inputs_evaluate must name the same inputs as inputs"
                )
        return self


class Shares(Frozen):
    """Parts of the samples that are set aside where a split has no arrays of its own."""

    evaluate: float = Field(0.2, gt=0, lt=1)
    calibrate: float = Field(0.1, gt=0, lt=1)
    # whether samples of one group stay in one split; default: where there are ten groups or more
    keep_groups: bool | None = None

    @model_validator(mode="after")
    def _room_to_fit(self) -> Shares:
        if self.evaluate + self.calibrate >= 1:
            raise ValueError("evaluate + calibrate must be below 1")
        return self


class Declared(Frozen):
    """A calibration set's TOML."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str = Field(min_length=1)
    summary: str = ""
    licence: str | None = None  # of the data, an SPDX expression
    data: tuple[str, ...] = Field(min_length=1)
    metric: str | None = None
    output: str | None = None
    modality: Kind | None = None
    class_names: tuple[Annotated[str, Field(min_length=1)], ...] = ()  # of the classes 0, 1, ...
    arrays: Arrays = Arrays()
    preprocess: Preprocess = Preprocess()
    text: Columns | None = None
    splits: Shares = Shares()
    # output -> input that it is fed back to
    states: dict[str, str] = Field(default_factory=dict)
    # input -> its value in all samples
    constants: dict[str, FiniteFloat] = Field(default_factory=dict)
    steps: bool = (
        False  # samples are sequences, [n, steps, ...], at each of which states begin anew
    )
    sequence: bool = True  # states that have no arrays are fed back over consecutive samples

    @field_validator("data", mode="before")
    @classmethod
    def _one_path(cls, data: Any) -> Any:  # Any: whatever the TOML holds
        return (data,) if isinstance(data, str) else data


@dataclass(frozen=True)
class Source:
    """What a set is made of. preprocess_of: what is said of single inputs, by their names."""

    declared: Declared
    files: tuple[Path, ...]
    preprocess_of: Mapping[str, Preprocess] = field(default_factory=dict)


def load(path: Path) -> Source:
    """The TOML at `path`, and the files it names. Raises ConfigError."""
    data = read_toml(path)
    preprocess_of = _tables(data, path)
    declared = parse(Declared, data, str(path))
    if declared.licence is not None:
        spelled = spdx(f"{path}: licence", declared.licence)
        declared = declared.model_copy(update={"licence": spelled})
    if declared.text is not None and declared.text.tokenizer:
        tokenizer = str(_located(declared.text.tokenizer, path, "text.tokenizer"))
        text = declared.text.model_copy(update={"tokenizer": tokenizer})
        declared = declared.model_copy(update={"text": text})
    return Source(declared, tuple(_located(name, path) for name in declared.data), preprocess_of)


def _tables(data: dict[str, Any], path: Path) -> dict[str, Preprocess]:  # Any: TOML
    """Takes [preprocess.INPUT] out of `data`."""
    whole = data.get("preprocess")
    if not isinstance(whole, dict):
        return {}
    tables = {name: value for name, value in whole.items() if isinstance(value, dict)}
    if tables and len(tables) < len(whole):
        plain = next(name for name in whole if name not in tables)
        raise ConfigError(
            f"{path}: preprocess.{plain}: stands beside [preprocess.{next(iter(tables))}]; allowed: keys for the only "
            "input, or a table for each of several"
        )
    if tables:
        del data["preprocess"]
    return {n: parse(Preprocess, t, f"{path}: preprocess.{n}") for n, t in tables.items()}


def _located(data: str, toml: Path, key: str = "data") -> Path:
    """A relative path stays in the TOML's folder, ${VARIABLE}/... in the variable's; an absolute one is taken."""
    where = f"{toml}: {key}"
    base, inner = toml.parent, data
    if match := _VARIABLE.fullmatch(data):
        value = os.environ.get(match[1])
        if not value:
            raise ConfigError(
                f"{where}: '{data}': the environment variable {match[1]} is not set; set it to the folder of the data"
            )
        base, inner = Path(value).expanduser(), match[2]
    elif "$" in data:
        raise ConfigError(f"{where}: got '{data}', allowed: one ${{VARIABLE}} at the beginning")
    elif Path(data).is_absolute():
        return Path(data)
    found = (base / inner).resolve()
    if not found.is_relative_to(base.resolve()):
        raise ConfigError(
            f"{where}: '{data}' leaves the folder {base}; allowed: a path inside it, ${{VARIABLE}}/..., or "
            "an absolute path"
        )
    if not found.exists():
        raise ConfigError(f"{where}: no such file: {found}")
    return base / inner
