"""Which answers changed on the way from the teacher to the shipped file, of which samples and of which classes.

On the evaluate split, after everything was chosen.
"""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.front import TEACHER
from squeeze.metrics import per_class
from squeeze.metrics.calibration_error import BINS
from squeeze.steps.device_files import answers_there
from squeeze.steps.judging import answers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from squeeze.case import Case
    from squeeze.front import Candidate, Front
    from squeeze.metrics.per_class import Ints, Worst
    from squeeze.workdir import Step

    Answers = dict[str, Ints]  # stage -> the class of each sample, [n], in the order of the stages

Json = dict[str, Any]  # Any: JSON
LISTED = 100  # samples of a kind in the manifest; all are in the file
FILE = "flips.csv"


def stages(front: Front, picked: Candidate) -> list[str]:
    """The candidates on the way to the one that is shipped: the teacher, the float network, int8 where that is another,
    the shipped one."""
    origin = picked.net.origin
    before = [TEACHER, f"{origin}-float", f"{origin}-int8"]
    if picked.name in before:
        before = before[: before.index(picked.name)]
    return [name for name in (*before, picked.name) if name in front.candidates]


def answers_on_the_way(
    case: Case, front: Front, picked: Candidate, evaluated: Step, there: Step | None
) -> Answers | None:
    """What each stage answers; the last one as the device's own file does, where that was asked. None where answers are
    no classes."""
    if not case.has_classes("evaluate"):
        return None
    found = {name: answers_of(evaluated, name) for name in stages(front, picked)}
    known = {name: answers for name, answers in found.items() if answers is not None}
    if (on_device := answers_there(there)) is not None:
        known[picked.name] = on_device
    return known


def changes(case: Case, answers: Answers) -> Json:
    """Flips from stage to stage and over all, recall of each class at each stage, and the class that loses most."""
    labels, names = _labels(case), list(answers)
    first, last = answers[names[0]], answers[names[-1]]
    right = {n: per_class.found_of(a, labels) for n, a in answers.items()}
    kinds = right[names[0]]
    worst = per_class.worst_class(first, last, labels)
    return {
        "output": case.readings[0].output,
        "samples": len(labels),
        "stages": names,
        "steps": [_flips(a, b, answers, labels) for a, b in itertools.pairwise(names)],
        "whole": _flips(names[0], names[-1], answers, labels),
        "classes": {
            "number": list(kinds),
            "samples": [samples for _, samples in kinds.values()],
            "right": {n: [hits for hits, _ in found.values()] for n, found in right.items()},
        },
        "worst_class": _told(case, worst),
    }


def calibration(found: Mapping[str, Json], picked: str) -> Json | None:
    """The expected calibration error of the teacher and of the shipped file, in percent; None where there is none."""
    errors = {name: one.get("calibration_error") for name, one in found.items()}
    if errors.get(TEACHER) is None:
        return None
    return {"bins": BINS, "teacher": errors[TEACHER], "student": errors[picked], "all": errors}


def table(case: Case, answers: Answers) -> bytes:
    """All samples of which an answer changed, as CSV: the place in the evaluate split, the label, each answer."""
    labels = _labels(case)
    each = np.stack(list(answers.values()))
    changed = np.flatnonzero((each != each[0]).any(axis=0))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["sample", "label", *answers])
    rows.writerows([int(i), int(labels[i]), *map(int, each[:, i])] for i in changed)
    return text.getvalue().encode()


def _told(case: Case, worst: Worst) -> Json:
    found, names = asdict(worst), case.data.class_names
    number = found.pop("number")
    name = names[number] if 0 <= number < len(names) else None
    return {"class": number, "name": name, "drop": worst.drop, **found}


def _labels(case: Case) -> Ints:
    y = case.data.evaluate.y
    assert y is not None  # else there are no classes
    return per_class.labelled(y)


def _flips(one: str, other: str, answers: Answers, labels: Ints) -> Json:
    found = per_class.flips(answers[one], answers[other], labels)
    return {"from": one, "to": other, **{k: _listed(v) for k, v in vars(found).items()}}


def _listed(samples: Sequence[int] | NDArray[np.int64]) -> Json:
    return {"count": len(samples), "samples": [int(i) for i in samples[:LISTED]]}
