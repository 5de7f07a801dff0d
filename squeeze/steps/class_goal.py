"""A goal for the worst class: refused where there are no classes, and said of how few samples it stands on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError
from squeeze.metrics import per_class

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.spec import Goal

logger = logging.getLogger(__name__)
_NAME = "--worst-class-drop (goal.max_worst_class_drop)"


def refuse_classless(case: Case, goal: Goal) -> None:
    """Raises ConfigError where the goal has a limit for the worst class and samples to choose or to judge by have no
    class each. Warns where one sample of the smallest class is more than that limit."""
    limit = goal.max_worst_class_drop
    if limit is None:
        return
    for name in ("calibrate", "evaluate"):
        labels = case.split(name).y
        if labels is None:
            raise ConfigError(
                f"{_NAME}: classes are told by labels, and the {name} split of {case.data.source} has none; add them, "
                "or take the option away"
            )
        if not case.has_classes(name):
            reading = case.readings[0]
            raise ConfigError(
                f"{_NAME}: metric {reading} with labels {labels.dtype} {['n', *labels.shape[1:]]} is not of one class "
                "a sample; allowed: labels [n] of classes with top1, f1, mcc or auc"
            )
        numbers, counts = np.unique(per_class.labelled(labels), return_counts=True)
        least = int(counts.argmin())
        if (points := 100 / counts[least]) > limit:
            logger.warning(
                "--worst-class-drop %g: class %s has %d samples in the %s split, of which one is %.1f points; a limit "
                "below that allows none to be lost",
                limit,
                _named(case, int(numbers[least])),
                counts[least],
                name,
                points,
            )


def _named(case: Case, number: int) -> str:
    names = case.data.class_names
    return f"'{names[number]}'" if 0 <= number < len(names) else str(number)
