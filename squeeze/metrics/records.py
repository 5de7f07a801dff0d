"""Metrics that rank what was found in all samples together, as an average precision does: of each sample a small record
is kept, not its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze.metrics.sums import Array, Floats, Samples, blocks


@dataclass(frozen=True)
class Records:
    """learn: (the wanted values of all samples, what the float model gives) -> what `each` needs to know.

    each: (outputs of some samples, what they should be, what was learnt) -> a record of each sample.
    value: (the records of all samples, counts [b, n] of how often each is drawn) -> values [b]; NaN where there is
    none.
    """

    learn: Callable[
        [Samples, Samples], Any
    ]  # Any: what a metric has to know, and its records, are its own
    each: Callable[[Array, Array, Any], Sequence[Any]]  # Any: as above
    value: Callable[[Sequence[Any], NDArray[np.int64]], Floats]  # Any: as above


def of_all(records: Records, outputs: Samples, wanted: Samples) -> float:
    """The metric of all samples."""
    known = records.learn(wanted, outputs)
    found = [one for s in blocks(outputs) for one in records.each(outputs[s], wanted[s], known)]
    return once(records, found)


def once(records: Records, found: Sequence[Any]) -> float:  # Any: as above
    """The metric of all records, each counted once."""
    return float(records.value(found, np.ones((1, len(found)), np.int64))[0])
