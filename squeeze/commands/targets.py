"""`squeeze targets`: which class of numbers each target gives on this machine, and what would give better ones."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError
from squeeze.runtimes.table import estimated, runtime_of
from squeeze.spec import names
from squeeze.target import load_target

if TYPE_CHECKING:
    from squeeze.target import Target

Json = dict[str, Any]  # Any: JSON


def list_targets() -> Json:
    """Every shipped target; as `describe_target`, without loading a runtime."""
    return {"schema": 1, "targets": [_entry(load_target(name)) for name in names("targets")]}


def describe_target(source: str | Path) -> Json:
    """One target by name or file: what its file says, "gives": the class of numbers here or None, "runtime_version",
    "missing": what to do for better ones, or None. Raises ConfigError."""
    return {"schema": 1, "target": _entry(load_target(source))}


def write_target(name: str, out: str | Path | None = None) -> Json:
    """Measures this machine for some seconds and writes a target file of it to `out` [NAME.toml in this folder].

    Raises ConfigError for a bad name, one that is shipped, and a file that is there already or cannot be written;
    UnsupportedError where target files know no such processor.
    """
    from squeeze.commands.probed import probed_target, target_text
    from squeeze.workdir import write_target_file

    path = Path(out) if out is not None else Path(f"{name}.toml")
    _check_place(path)
    if name in names("targets"):
        raise ConfigError(f"{name}: a target of this name is shipped; choose another name")
    target = probed_target(name)
    write_target_file(path, target_text(target).encode())
    return {"schema": 1, "path": str(path), "target": _entry(load_target(path))}


def _check_place(path: Path) -> None:
    if path.suffix != ".toml":
        wanted = shlex.quote(str(path.with_suffix(".toml")))
        raise ConfigError(f"-o {path}: target files end in .toml; say -o {wanted}")
    if path.exists():
        raise ConfigError(f"-o {path}: is there already; choose another name, or remove it first")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"-o {path}: there is no folder {path.parent}")


def _entry(target: Target) -> Json:
    runtime = runtime_of(target)
    missing = runtime.missing()
    here = estimated(target) if missing else runtime
    return {
        **target.model_dump(mode="json", by_alias=True),
        "gives": None if here is None else here.source,
        "runtime_version": (here or runtime).version,
        "missing": missing,
    }
