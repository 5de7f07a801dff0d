"""A folder that a command writes: refused early where something in it is not ours, exchanged whole when it is done."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from squeeze.errors import ConfigError
from squeeze.exchange import PART, beside, bring_back, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def check_folder(out: Path, kind: str, member: str, ours: Callable[[Path], set[str]]) -> None:
    """Fails early when `out` cannot be written, or holds something that is not ours. Leaves nothing behind.

    kind: what is written, in words ("squeeze package"); member: the file without which a folder is none; ours: the
    names of all that such a folder has. Raises ConfigError.
    """
    if out.is_symlink() and not out.exists():
        raise ConfigError(f"{out}: is a link to nothing; -o takes a folder, or a link to one")
    bring_back(out.resolve(), member)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; -o takes a folder")
    if out.is_dir() and any(out.iterdir()):
        if not (out / member).is_file():
            raise ConfigError(
                f"{out}: the folder holds other files and no {kind}; choose a new or an empty one"
            )
        if foreign := sorted({p.name for p in out.iterdir()} - ours(out)):
            raise ConfigError(
                f"{out}: the folder holds '{foreign[0]}' beside a {kind}, which would be lost; move it away, or choose "
                "another one"
            )
    parent = next(p for p in out.absolute().parents if p.exists())
    if not parent.is_dir():
        raise ConfigError(f"{parent}: is a file; -o takes a folder that can be made")
    place = out if out.is_dir() else parent
    probe = place / f".squeeze-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
    except OSError as e:
        raise ConfigError(f"{place}: cannot be written: {e.strerror}; choose another -o") from e
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def written(out: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `out` in one step when the block ends: a kill leaves the old one or the new
    one, whole. Where the block raises, nothing is left behind. Raises OSError."""
    # A link stays one: what it leads to is exchanged.
    place = out.resolve()
    part = beside(place, PART)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if place.exists():
            exchange(part, place)
        else:
            part.replace(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
