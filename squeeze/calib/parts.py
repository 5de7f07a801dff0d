"""Samples with their groups, and who goes into which of the three splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from squeeze.calib import groups as calib_groups
from squeeze.calib import sequences
from squeeze.calib import split as calib_split
from squeeze.calib.arrays import sealed
from squeeze.calib.gather import Gathered
from squeeze.calib.rows import Array, Origin, Raw, select
from squeeze.calib.set import Split
from squeeze.calib.toml import Shares
from squeeze.errors import ConfigError

Groups = Mapping[str, tuple[str, Callable[[], Raw]]]  # split -> the array's name, and the array


def grouped(
    arrays: dict[str, Gathered],
    groups: Groups,
    source: str,
    steps: int | None,
) -> dict[str, Gathered]:
    """With the groups of their samples, where there are any; of sequences each has one."""
    if not groups:
        return arrays
    # Validation arrays alone judge, and so do their groups.
    given = {"evaluate": groups["calibrate"], **groups} if "calibrate" in groups else groups
    if missing := [split for split in arrays if split not in given]:
        raise ConfigError(
            f"{source}: there are groups ({', '.join(name for name, _ in groups.values())}), but none of the samples "
            f"to {missing[0]}; each split with arrays of its own needs them"
        )
    found: dict[str, Gathered] = {}
    for split, part in arrays.items():
        name, read = given[split]
        values = read() if steps is None else sequences.each(read(), steps)
        found[split] = replace(part, x=calib_groups.beside(dict(part.x), name, values, source))
    return found


def parted(
    arrays: dict[str, Gathered],
    labels: dict[str, Array | None],
    shares: Shares,
    seed: int,
    together: Array | None,
    *,
    untrained: bool,
    as_read: bool,
) -> tuple[Split, Split, Split]:
    """fit, calibrate, evaluate: from their own arrays, and the rest from shares of `fit`; untrained: all of that
    calibrates. as_read: a sample is a row of what the user gave, and not made of it."""
    whole, known = arrays["fit"], labels["fit"]
    if untrained:
        nobody, everybody = np.empty(0, np.intp), np.arange(len(whole))
        parts = calib_split.Parts(fit=nobody, calibrate=everybody, evaluate=nobody)
    else:
        parts = calib_split.split(
            len(whole),
            known,
            evaluate=0.0 if "evaluate" in arrays else shares.evaluate,
            calibrate=0.0 if "calibrate" in arrays else shares.calibrate,
            seed=seed,
            where=whole.where,
            groups=together,
        )
    drawn = {"fit": parts.fit, "calibrate": parts.calibrate, "evaluate": parts.evaluate}

    def part(name: str) -> Split:
        index, own = drawn[name], arrays.get(name)
        if name == "fit" or own is None:
            split = sealed(
                {n: select(x, index) for n, x in whole.x.items()},
                None if known is None else known[index],
            )
            origin = Origin(whole.where, index)
        else:
            split = sealed(own.x, labels[name])
            origin = Origin(own.where, np.arange(len(own)))
        return replace(split, origin=origin if as_read else None)

    return part("fit"), part("calibrate"), part("evaluate")
