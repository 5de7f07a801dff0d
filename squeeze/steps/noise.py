"""Whether the evaluate split can tell that a file loses more than it may, and how little it tells where it is small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from squeeze import metrics
from squeeze.goal import holds_drop

if TYPE_CHECKING:
    from squeeze.spec import Goal, Measurement, OutputScore

FEW = 100  # samples: one of them is a point


def undecided(
    goal: Goal, teacher: Sequence[OutputScore], shipped: Sequence[OutputScore], *, labelled: bool
) -> bool:
    """Whether no output loses more than `goal` allows beyond doubt. Both of the same outputs, in order.

    A metric against labels (`labelled`: there are some) is as uncertain for the teacher as for the file: in doubt is
    what has one value inside the interval of the other. One against the teacher's outputs is exact for the teacher
    itself: in doubt is a file in whose own 95 % interval there is a value that the goal allows.
    """
    return all(
        _in_doubt(goal, before, after, labelled=labelled)
        for before, after in zip(teacher, shipped, strict=True)
    )


def few_judge(shipped: Measurement, *, labelled: bool) -> str | None:
    """How wide the interval of what labels say of the shipped file is, where they are few; None where they are not."""
    if not labelled or shipped.n >= FEW:
        return None
    many = "1 sample judges" if shipped.n == 1 else f"{shipped.n} samples judge"
    if shipped.interval is None:
        return (
            f"only {many}: how uncertain the loss is, is not known; more samples with labels tell"
        )
    low, high = (metrics.describe(shipped.metric_name, end) for end in shipped.interval)
    return (
        f"only {many}: the 95 % interval of the shipped file is {low} to {high}; more samples with labels make it "
        "narrower"
    )


def _in_doubt(goal: Goal, before: OutputScore, after: OutputScore, *, labelled: bool) -> bool:
    metric = metrics.resolve(after.metric)
    if holds_drop(goal, metric.drop(before.value, after.value)):
        return True
    if labelled and metric.needs != "teacher":
        return _within(before, after) or _within(after, before)
    ends = after.interval or ()
    return any(holds_drop(goal, metric.drop(before.value, end)) for end in ends)


def _within(one: OutputScore, other: OutputScore) -> bool:
    return one.interval is not None and one.interval[0] <= other.value <= one.interval[1]
