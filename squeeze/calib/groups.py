"""Groups of samples, for metrics of the user's that ask for them: of one speaker, query or scene.

An array `groups`, `group` or `group_id`, alone or joined with a word for a split (`groups_test`), has a whole number
for each sample. No model sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from squeeze.calib.keys import claim
from squeeze.calib.rows import Raw
from squeeze.calib.set import Split
from squeeze.errors import ConfigError

_NAMES = ("groups", "group", "group_id", "group_ids")
_PLACE = "\0groups"  # no array of a model has such a name


def taken(
    found: dict[str, Callable[[], Raw]], inputs: Collection[str] | None
) -> dict[str, tuple[str, Callable[[], Raw]]]:
    """Takes arrays of groups out of `found`: split -> array's name and its reader. An input may have such a name."""
    groups = {}
    for name in list(found) if len(found) > 1 else ():
        split = None if name in (inputs or ()) else _split_of(name)
        if split is not None:
            groups[split] = (name, found.pop(name))
    return groups


def beside(x: dict[str, Raw], name: str, groups: Raw, where: str) -> dict[str, Raw]:
    """Arrays of samples with their groups among them. Raises ConfigError unless there is a number for each."""
    samples = len(next(iter(x.values())))
    if groups.ndim != 1 or len(groups) != samples or groups.dtype.kind not in "iu":
        raise ConfigError(
            f"{where}: array '{name}': got {groups.dtype} {list(groups.shape)}, allowed: a whole number for each of "
            f"{samples} samples"
        )
    return {**x, _PLACE: groups}


def apart(split: Split) -> Split:
    """The split with its groups where they belong."""
    arrays = dict(split.arrays)
    groups = arrays.pop(_PLACE, None)
    return split if groups is None else replace(split, arrays=arrays, groups=np.asarray(groups[:]))


def _split_of(name: str) -> str | None:
    """The split of an array of groups; None for any other array."""
    place = claim(name.lower(), _NAMES)
    return None if place is None else place.split
