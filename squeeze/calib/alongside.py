"""What goes with samples through the splits without being an input: an array beside those that a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from squeeze.calib.rows import Array, Raw
from squeeze.calib.set import Split

# Field of `Split` -> where its array rides: no array of a model has such a name.
PLACES = {"groups": "\0groups", "rows": "\0rows"}


def beside(x: Mapping[str, Raw], field: str, values: Raw) -> dict[str, Raw]:
    """Arrays of samples with `values`, one for each sample, among them. field: of `Split`, that they end in."""
    return {**x, PLACES[field]: values}


def apart(split: Split) -> Split:
    """The split with all of them in their fields."""
    arrays = dict(split.arrays)

    def taken(field: str) -> Array | None:
        raw = arrays.pop(PLACES[field], None)
        return None if raw is None else np.asarray(raw[:])

    groups, rows = taken("groups"), taken("rows")
    return replace(split, arrays=arrays, groups=groups, rows=rows)
