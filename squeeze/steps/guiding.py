"""Further teachers, which answer together with the one that is compressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import teacher as teachers
from squeeze.errors import ConfigError
from squeeze.guides.panel import How, Panel
from squeeze.steps.answering import space_of_answers, untrainable
from squeeze.steps.inheriting import inherits
from squeeze.steps.problem import Source
from squeeze.teacher.source import classify

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.run import At, Run
    from squeeze.spec import Recipe
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON

_COMPARED = 1000  # samples
# Of the way from what chance agrees on to all: networks that were trained for the same classes are far above.
_LEAST = 0.25


def refuse_guides(guides: Sequence[str | tuple[str, float]], recipe: Recipe) -> None:
    """Raises ConfigError for what is known of `guides` before the teacher is loaded: files that are not there or no
    models, and a recipe in which nothing learns from them."""
    if guides and not recipe.trains:
        raise ConfigError(
            f"--guide: recipe '{recipe.name}' trains nothing that could learn from it; leave it away, or take another"
        )
    for guide in guides:
        path, _ = _weighed(guide)
        try:
            classify(path, None)
        except ConfigError as e:
            raise ConfigError(*f"--guide {e}".splitlines()) from e


def guided(run: Run, case: Case, guides: Sequence[str | tuple[str, float]], recipe: Recipe) -> None:
    """Puts the panel of the teacher and `guides` into `run`: models, or models and weights beside the teacher's 1.

    Raises ConfigError for a guide that is not of the teacher's classes, and where nothing learns from answers.
    """
    if not guides:
        return
    _refuse(run, case, recipe)
    others, weights = [], []
    for guide in guides:
        path, weight = _weighed(guide)
        others.append(_adopted(run, case, path))
        weights.append(weight)
    how: How = recipe.distill.panel
    run.panel = Panel(tuple(others), tuple(weights), how)


def _weighed(guide: str | tuple[str, float]) -> tuple[str, float]:
    return (guide, 1.0) if isinstance(guide, str) else guide


def _refuse(run: Run, case: Case, recipe: Recipe) -> None:
    if len(case.interface.inputs) > 1:
        raise ConfigError("--guide: is for models with one input; leave it away")
    if inherits(run, case, recipe):
        raise ConfigError(
            "--guide: students of transformers learn from the teacher that they are parts of; leave it away"
        )
    if why := untrainable(case):
        raise ConfigError(f"--guide: {why}; leave it away")
    space = space_of_answers(case)
    if space != "classes":
        raise ConfigError(
            f"--guide: several teachers are for classes, and these outputs are {space}"
        )


def _adopted(run: Run, case: Case, path: str) -> Teacher:
    given = Source(path, None, teachers.source_digest(path, None))
    step = run.step(
        "guide",
        adopt,
        source=given,
        teacher=case.teacher,
        data=case.data.blind(),
        threads=run.threads,
    )
    found = teachers.Teacher.from_json(step.path, step.result["teacher"])
    return replace(found, source=path)


def adopt(at: At, *, source: Source, teacher: Teacher, data: Calib, threads: int) -> Json:
    """Writes the guide in squeeze's form, and says how often it chooses as the teacher does."""
    example = next(iter(data.feed(data.calibrate, 0, 4).values()))
    found = teachers.load(source.path, weights=None, example=example, folder=at.folder)
    agreed = agreement(teacher, found, data, threads)
    return {
        "summary": f"{source.path}: chooses as the teacher does for {agreed:.1f} % of the samples",
        "agreement": agreed,
        "teacher": found.to_json(),
    }


def agreement(teacher: Teacher, guide: Teacher, data: Calib, threads: int) -> float:
    """How often the guide chooses as the teacher does, in points. Raises ConfigError for other outputs, and where that
    is so seldom that its classes can not be the same ones."""
    if len(guide.interface.outputs) != 1 or guide.output.shape != teacher.output.shape:
        gives = "; ".join(map(str, guide.interface.outputs))
        raise ConfigError(
            f"--guide {guide.source}: gives {gives}, the teacher {teacher.output}; give one of the same classes"
        )
    x = data.feed(data.calibrate, 0, _COMPARED)[teacher.input.name]
    ours, theirs = (one.outputs(x, threads=threads).logits.argmax(1) for one in (teacher, guide))
    share, chance = float(np.mean(ours == theirs)), 1 / teacher.output.shape[0]
    if share < chance + _LEAST * (1 - chance):
        raise ConfigError(
            f"--guide {guide.source}: chooses as the teacher does for {100 * share:.1f} % of the samples; its classes"
            " are in another order, or it takes inputs that are prepared otherwise"
        )
    return 100 * share
