"""Groups of samples: of one speaker, query or scene. Splits keep them together, and metrics of the user's may ask for
them.

An array `groups`, `group` or `group_id`, alone or joined with a word for a split (`groups_test`), or one that a TOML
names, has a whole number for each sample. No model sees it. Few groups are kinds of samples, which each split should
have some of: they are not kept together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from squeeze.calib import alongside
from squeeze.calib.keys import claim
from squeeze.calib.rows import Array, Raw
from squeeze.errors import ConfigError, unknown

_NAMES = ("groups", "group", "group_id", "group_ids")
_FEWEST_KEPT = 10  # groups


def taken(
    found: dict[str, Callable[[], Raw]],
    inputs: Collection[str] | None,
    given: Mapping[str, str],
    where: str,
) -> dict[str, tuple[str, Callable[[], Raw]]]:
    """Takes arrays of groups out of `found`: split -> array's name and its reader. An input may have such a name.

    given: split -> array, as a TOML names them; then nothing goes by names. Raises ConfigError for one that is not
    there.
    """
    groups = {}
    for place, array in given.items():
        if array not in found:
            after = "" if place == "fit" else f"_{place}"
            raise ConfigError(unknown(f"{where}: arrays.groups{after}: array", array, list(found)))
        groups[place] = (array, found.pop(array))
    if groups:
        return groups
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
    return alongside.beside(x, "groups", groups)


def kept(x: Mapping[str, Raw], keep: bool | None) -> tuple[Array | None, tuple[str, ...]]:
    """The groups by which the samples of arrays are split, or None, and what was assumed. keep: what a TOML says."""
    place = alongside.PLACES["groups"]
    if place not in x or keep is False:
        return None, ()
    groups = np.asarray(x[place][:])
    count = len(np.unique(groups))
    if keep or count >= _FEWEST_KEPT:
        said = f"samples of one group stay in one split: {count} groups"
        return groups, () if keep else (f"{said} (else keep_groups = false under [splits])",)
    said = f"groups are kinds of which each split has some: there are {count}"
    return None, (f"{said} (else keep_groups = true under [splits])",)


def _split_of(name: str) -> str | None:
    """The split of an array of groups; None for any other array."""
    place = claim(name.lower(), _NAMES)
    return None if place is None else place.split
