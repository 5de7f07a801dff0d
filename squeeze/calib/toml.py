"""The TOML of a calibration set: where the arrays are, how they are preprocessed, split and judged. Strict."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from squeeze.calib.labels import check_metric
from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess
from squeeze.errors import ConfigError
from squeeze.spec import Frozen, parse, read_toml

_VARIABLE = re.compile(r"\$\{(\w+)\}[/\\]?(.*)")


class Arrays(Frozen):
    """Names of arrays; what is left empty goes by the table of names that are understood."""

    x: str = ""
    y: str = ""
    x_calibrate: str = ""
    y_calibrate: str = ""
    x_evaluate: str = ""
    y_evaluate: str = ""

    def given(self) -> dict[str, str]:
        return {place: name for place, name in self.model_dump().items() if name}

    @model_validator(mode="after")
    def _samples_first(self) -> Arrays:
        given = self.given()
        if given and "x" not in given:
            raise ValueError("x is missing; when one array is named, the samples to fit must be")
        return self


class Shares(Frozen):
    """Parts of the samples that are set aside where a split has no arrays of its own."""

    evaluate: float = Field(0.2, gt=0, lt=1)
    calibrate: float = Field(0.1, gt=0, lt=1)

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
    data: tuple[str, ...] = Field(min_length=1)
    metric: str | None = None
    modality: Modality | None = None
    arrays: Arrays = Arrays()
    preprocess: Preprocess = Preprocess()
    splits: Shares = Shares()

    @field_validator("data", mode="before")
    @classmethod
    def _one_path(cls, data: Any) -> Any:  # Any: whatever the TOML holds
        return (data,) if isinstance(data, str) else data


def load(path: Path) -> tuple[Declared, list[Path]]:
    """The TOML at `path` and the files it names. Raises ConfigError."""
    declared = parse(Declared, read_toml(path), str(path))
    if declared.metric is not None:
        check_metric(declared.metric, str(path))
    return declared, [_located(data, path) for data in declared.data]


def _located(data: str, toml: Path) -> Path:
    """A relative path stays in the TOML's folder, ${VARIABLE}/... in the variable's; an absolute one is taken."""
    where = f"{toml}: data"
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
