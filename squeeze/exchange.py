"""A folder takes the place of another one in one step: a kill leaves the old one or the new one, whole.

Both have the same parent. What is on its way, or was moved away, lies beside the place under a hidden name.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PART, ASIDE = ".part", ".old"
# Of Linux's renameat2: both names stay, and exchange what they stand for, in one step.
_EXCHANGE = 2
_HERE = -100  # AT_FDCWD


def beside(place: Path, suffix: str) -> Path:
    """A hidden name for this process, next to `place`; `suffix` says what it is for."""
    return place.with_name(f".{place.name}.{os.getpid()}{suffix}")


def is_left_over(path: Path) -> bool:
    """Whether a write that was killed left this beside the place of a folder."""
    return path.name.startswith(".") and path.suffix in (PART, ASIDE)


def exchange(new: Path, old: Path) -> None:
    """`old` becomes what `new` is and the other way round. Raises OSError; then both are as they were.

    Where the system cannot exchange folders in one step, the old one is moved away for a moment and comes back when the
    new one cannot take its place; after a kill in that moment `bring_back` finds it.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        done = -1
    else:
        names = os.fsencode(new), os.fsencode(old)
        done = renameat2(_HERE, names[0], _HERE, names[1], ctypes.c_uint(_EXCHANGE))
    if done == 0:
        return
    aside = beside(old, ASIDE)
    old.replace(aside)
    try:
        new.replace(old)
    except OSError:
        aside.replace(old)
        raise
    aside.replace(new)


def bring_back(place: Path, member: str) -> None:
    """Puts a folder with `member` back that a kill left aside, where folders cannot be exchanged in one step."""
    parent = place.absolute().parent
    if place.exists() or not parent.is_dir():
        return
    for aside in sorted(parent.glob(f".{glob.escape(place.name)}.*{ASIDE}")):
        if (aside / member).is_file():
            with contextlib.suppress(OSError):
                aside.replace(place)
            return
