"""Does the teacher work on these data? One that answers as chance does, or always alike, is no teacher.

The usual cause is another preprocessing than the one it was trained with, or another order of classes: both are looked
for, and named.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from squeeze import measure, metrics
from squeeze.errors import ConfigError
from squeeze.metrics.skill import (
    SAMPLES,
    beside_chance,
    constant_answer,
    nearly_constant,
    no_better,
    straight,
)
from squeeze.steps.preprocessings import better_one, order_of
from squeeze.steps.searching import SYNTHETIC

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.metrics import Reading
    from squeeze.run import Run

logger = logging.getLogger(__name__)
_SAME = 0.05


def refuse_broken(run: Run, case: Case, *, accept: bool) -> None:
    """Raises ConfigError for a teacher that answers as chance does, no better than a constant, or nearly always alike;
    `accept` makes a warning of it. Warns where another of the usual preprocessings, or another order of classes, does
    clearly better."""
    readings = [r for r in case.readings if _by_labels(case, r)]
    fault = next((fault for r in readings if (fault := _fault(case, r))), None)
    if not readings:
        fault = _alike(case)
    if fault and accept:
        logger.warning("%s; going on as asked", fault)
        return
    hints = []
    if readings:
        found = (
            better_one(run, case, readings[0], broken=bool(fault)),
            _order(case, readings[0]),
            _line(case, readings[0]),
        )
        hints = [hint for hint in found if hint]
    if fault:
        hints.append(
            "check the weights, [preprocess], and whether the labels are what this output means (--metric)"
        )
        raise ConfigError(
            fault, f"{'; or: '.join(hints)}; --accept-baseline goes on with it as it is"
        )
    for hint in hints:
        logger.warning("%s", hint)


def _by_labels(case: Case, reading: Reading) -> bool:
    return case.data.evaluate.y is not None and metrics.resolve(reading.metric).needs != "teacher"


def _fault(case: Case, reading: Reading) -> str | None:
    """What is said of outputs that do not explain the labels; None where they do."""
    outputs, labels = case.reference("evaluate"), case.data.evaluate.y
    assert labels is not None
    here = f"{case.data.source}: the teacher does not work on these data"
    found = beside_chance(reading, outputs, labels, case.data.class_names)
    count = f"{min(len(labels), SAMPLES)} samples"
    if not found.works:
        got, chance = (metrics.describe(reading.metric, v) for v in (found.value, found.chance))
        return f"{here}: {got} on {count}, where its answers for other samples have {chance}"
    constant = constant_answer(reading.metric, labels)
    beside = measure.beside(case.data, case.data.evaluate)
    value = metrics.scores([reading], outputs, labels, outputs, beside)[0].value
    if constant is None or not no_better(reading.metric, value, constant):
        return None
    got, always = (metrics.describe(reading.metric, v) for v in (value, constant))
    said = f"{got}, where the best answer that is always the same has {always}"
    if reading.metric != "top1":
        return f"{here}: {said}"
    # Alarms are raised too often rather than too seldom: it tells the classes apart all the same.
    if value < constant:
        logger.warning(
            "%s: the teacher has %s; --metric auc judges what is rare", case.data.source, said
        )
    return None


def _alike(case: Case) -> str | None:
    """What is said of outputs that are the same whatever goes in; None where one of them is not."""
    if case.data.source == SYNTHETIC or _inputs_alike(case):
        return None
    outputs = case.reference("evaluate")
    names = [r.output for r in case.readings if r.output in outputs]
    if not names or not all(nearly_constant(outputs[name]) for name in names):
        return None
    said = ", ".join(f"'{name}'" for name in names)
    here = f"{case.data.source}: the teacher does not work on these data"
    return f"{here}: its output {said} is the same for every sample"


def _inputs_alike(case: Case) -> bool:
    arrays = [np.asarray(x[:SAMPLES]) for x in case.data.evaluate.arrays.values()]
    return all(len(x) < 2 or bool((x == x[:1]).all()) for x in arrays)


def _line(case: Case, reading: Reading) -> str | None:
    """The line that makes labels of the outputs, in words, where numbers have another scale; None where none does."""
    labels = case.data.calibrate.y
    if labels is None or reading.metric not in ("mse", "r2"):
        return None
    found = straight(case.reference("calibrate")[reading.output], labels)
    if found is None:
        return None
    a, b = found
    if abs(a - 1) < _SAME and abs(b) < _SAME * float(np.std(labels)):
        return None
    return (
        f"{case.data.source}: labels are about {a:.4g} times output '{reading.output}' {'+' if b >= 0 else '-'} "
        f"{abs(b):.4g}: give the labels on the scale of the model, or the model with that scale in it"
    )


def _order(case: Case, reading: Reading) -> str | None:
    """What is said of another order of classes. Of both splits whose answers are known: one may have few samples."""
    if reading.metric != "top1":
        return None
    given = [(case.reference(name), case.split(name).y) for name in ("calibrate", "evaluate")]
    parts = [(outputs[reading.output], y) for outputs, y in given if y is not None]
    outputs = {reading.output: np.concatenate([np.asarray(values[:]) for values, _ in parts])}
    order = order_of(reading, outputs, np.concatenate([y for _, y in parts]))
    if order is None:
        return None
    return (
        f"{case.data.source}: the classes seem to be in another order than the teacher's: {order}; number the labels "
        "as the teacher does"
    )
