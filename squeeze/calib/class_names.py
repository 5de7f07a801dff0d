"""What classes are called: the names of class folders, `class_names` of a TOML, `id2label` of a config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from squeeze.calib import folder as calib_folder
from squeeze.errors import ConfigError


def class_names(
    declared: Sequence[str], files: Sequence[Path], classes: int | None, source: str
) -> tuple[str, ...]:
    """The names of classes 0, 1, ..., those that a TOML declares before those of folders.

    classes: how many the labels know; None where they are none. Raises ConfigError where names were declared and labels
    are no classes, or where one has no name.
    """
    if declared:
        if classes is None:
            raise ConfigError(
                f"{source}: class_names: {len(declared)} names, but the labels are no classes; leave them out"
            )
        if len(declared) < classes:
            raise ConfigError(
                f"{source}: class_names: {len(declared)} names, but labels go up to {classes - 1}; allowed: a name for "
                "each class, in the order of their numbers"
            )
        return tuple(declared)
    found = [names for path in files if path.is_dir() and (names := calib_folder.class_names(path))]
    return found[0] if len(found) == 1 and classes is not None else ()


def of_config(config: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON
    """The names of the classes 0, 1, ... by `id2label` of a config.json; none where they are not said, or made up
    (LABEL_0, LABEL_1, ...)."""
    names = config.get("id2label")
    if not isinstance(names, dict):
        return ()
    found = tuple(n for i in range(len(names)) if isinstance(n := names.get(str(i)), str) and n)
    made_up = all(re.fullmatch(r"LABEL_\d+", name) for name in found)
    return found if len(found) == len(names) and not made_up else ()


def check_outputs(names: Sequence[str], source: str, outputs: int) -> None:
    """Raises ConfigError for more names than a model with so many outputs tells apart."""
    known = max(2, outputs)
    if len(names) > known:
        raise ConfigError(
            f"{source}: {len(names)} classes have names ({', '.join(names[:3])}, ...), the model tells {known} apart; "
            "give the classes of this model"
        )
