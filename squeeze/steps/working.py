"""Does the teacher work on these data? One that answers as chance does, or always alike, is no teacher.

The usual cause is another preprocessing than the one it was trained with, or another order of classes: both are looked
for, and named.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from squeeze import metrics
from squeeze.errors import ConfigError
from squeeze.metrics.skill import (
    SAMPLES,
    beside_chance,
    constant_answer,
    nearly_constant,
    no_better,
)
from squeeze.steps.preprocessings import better_one, order_of
from squeeze.steps.searching import SYNTHETIC

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.metrics import Reading
    from squeeze.run import Run

logger = logging.getLogger(__name__)


def refuse_broken(run: Run, case: Case, *, accept: bool) -> None:
    """Raises ConfigError for a teacher that answers as chance does, no better than a constant, or nearly always alike;
    `accept` makes a warning of it. Warns where another of the usual preprocessings, or another order of classes, does
    clearly better."""
    readings = [r for r in case.readings if _by_labels(case, r)]
    fault = next((fault for r in readings if (fault := _fault(case, r))), None) or _alike(case)
    if fault and accept:
        logger.warning("%s; going on as asked", fault)
        return
    hint = None
    if readings:
        hint = _order(case, readings[0]) or better_one(run, case, readings[0], broken=bool(fault))
    if fault:
        advice = hint or "check the weights, the labels and [preprocess]"
        raise ConfigError(fault, f"{advice}; --accept-baseline goes on with it as it is")
    if hint:
        logger.warning("%s", hint)


def _by_labels(case: Case, reading: Reading) -> bool:
    return case.data.evaluate.y is not None and metrics.resolve(reading.metric).needs != "teacher"


def _fault(case: Case, reading: Reading) -> str | None:
    """What is said of outputs that do not explain the labels; None where they do."""
    outputs, labels = case.reference("evaluate"), case.data.evaluate.y
    assert labels is not None
    here = f"{case.data.source}: the teacher does not work on these data"
    found = beside_chance(reading, outputs, labels)
    count = f"{min(len(labels), SAMPLES)} samples"
    if not found.works:
        got, chance = (metrics.describe(reading.metric, v) for v in (found.value, found.chance))
        return f"{here}: {got} on {count}, where its answers for other samples have {chance}"
    constant = constant_answer(reading.metric, labels)
    value = metrics.scores([reading], outputs, labels, outputs)[0].value
    if constant is not None and no_better(reading.metric, value, constant):
        got, always = (metrics.describe(reading.metric, v) for v in (value, constant))
        return f"{here}: {got}, where the best answer that is always the same has {always}"
    return None


def _alike(case: Case) -> str | None:
    """What is said of outputs that are the same whatever goes in; None where one of them is not."""
    if case.data.name == SYNTHETIC:
        return None
    outputs = case.reference("evaluate")
    names = [r.output for r in case.readings if r.output in outputs]
    if not names or not all(nearly_constant(outputs[name]) for name in names):
        return None
    said = ", ".join(f"'{name}'" for name in names)
    here = f"{case.data.source}: the teacher does not work on these data"
    return f"{here}: its output {said} is the same for every sample"


def _order(case: Case, reading: Reading) -> str | None:
    labels = case.data.calibrate.y
    order = None if labels is None else order_of(reading, case.reference("calibrate"), labels)
    if order is None:
        return None
    return (
        f"{case.data.source}: the classes seem to be in another order than the teacher's: {order}; number the labels "
        "as the teacher does"
    )
