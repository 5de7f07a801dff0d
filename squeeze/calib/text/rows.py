"""Which text a sample is made of, through the splits: an array beside the samples that no model sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze.calib.rows import Raw
from squeeze.calib.set import Split

_PLACE = "\0rows"  # no array of a model has such a name


def beside(x: dict[str, Raw], rows: Raw) -> dict[str, Raw]:
    """Arrays of samples with the numbers of their texts among them."""
    return {**x, _PLACE: rows}


def apart(split: Split) -> Split:
    """The split with those numbers where they belong."""
    arrays = dict(split.arrays)
    rows = arrays.pop(_PLACE, None)
    return split if rows is None else replace(split, arrays=arrays, rows=np.asarray(rows[:]))
