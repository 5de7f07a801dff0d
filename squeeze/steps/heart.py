"""Whether the teacher knows the calibrate split by heart: it was trained on those samples, as when people give the data
that they trained with.

Its score there is not what it has on new samples, and a student that never saw them would be measured against too much.
Files with the teacher's own weights know them as well as it does, and lose nothing by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from squeeze import measure, metrics
from squeeze.calib import Split
from squeeze.calib.extra import own_samples
from squeeze.calib.rows import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.calib import Calib
    from squeeze.feed import Array
    from squeeze.metrics import Reading
    from squeeze.metrics.intervals import Interval
    from squeeze.teacher import Teacher

Value = tuple[float, "Interval"]


def known_by_heart(
    teacher: Teacher,
    data: Calib,
    readings: Sequence[Reading],
    outputs: Mapping[str, Mapping[str, Array]],
    threads: int,
) -> list[float | None]:
    """Of each reading the teacher's value on the evaluate split where it knows the calibrate split by heart, else None.

    It does where it is better there than on the evaluate split beyond doubt, and no worse than on the fit split; where
    it is worse than on that, the evaluate split is merely harder. outputs: split -> output -> [n, ...].
    """
    found: list[float | None] = []
    for reading in readings:
        if data.evaluate.y is None or metrics.resolve(reading.metric).needs == "teacher":
            found.append(None)
            continue
        here = _value(data, data.calibrate, reading, outputs["calibrate"])
        unseen = _value(data, data.evaluate, reading, outputs["evaluate"])
        learnt = _better(reading.metric, here, unseen)
        if learnt and len(data.fit):
            learnt = not _better(reading.metric, _on_fit(teacher, data, reading, threads), here)
        found.append(unseen[0] if learnt and len(data.fit) else None)
    return found


def _on_fit(teacher: Teacher, data: Calib, reading: Reading, threads: int) -> Value:
    """On as many samples of the fit split as the calibrate split has, of those with labels."""
    fit = own_samples(data).fit
    chosen = np.sort(data.sample(fit, len(data.calibrate)))
    arrays = {name: select(x, chosen) for name, x in fit.arrays.items()}
    groups = None if fit.groups is None else fit.groups[chosen]
    assert fit.y is not None
    some = Split(arrays, fit.y[chosen], digest="", groups=groups)
    found = measure.evaluate(
        teacher.model,
        data,
        some,
        [reading],
        interface=teacher.interface,
        threads=threads,
        intervals=True,
    )
    return found.scores[0].value, found.intervals[0]


def _value(data: Calib, split: Split, reading: Reading, outputs: Mapping[str, Array]) -> Value:
    given = ([reading], outputs, split.y, outputs, measure.beside(data, split))
    value = metrics.scores(*given)[0].value
    return value, metrics.interval(reading, *given[1:])


def _better(metric: str, one: Value, other: Value) -> bool:
    """Whether the first is better by more than both 95 % intervals leave open."""
    (value, interval), (less, other_interval) = one, other
    if interval is None or other_interval is None:
        return False
    ahead = value - less if metrics.resolve(metric).higher_is_better else less - value
    return ahead > math.hypot(*((high - low) / 2 for low, high in (interval, other_interval)))
