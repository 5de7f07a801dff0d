"""What labels count beside a guide's answers where the recipe leaves it open: found on held-out samples, before a
training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, softmax  # type: ignore[import-untyped]

from squeeze.guides.ask import ask
from squeeze.guides.label_weight import held_out, weight_of_few
from squeeze.guides.views import Views
from squeeze.spec import DistillPart
from squeeze.steps.answering import space_of_answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.guides.panel import Panel
    from squeeze.losses.loss import Space
    from squeeze.run import At, Run
    from squeeze.spec import Recipe
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON
Array = Any  # NumPy's, of any type

NAME = "weigh"
# More change the second digit of the weight no more.
_SAMPLES = 2048
_ASKED = 1000


def weighed(run: Run, case: Case, recipe: Recipe) -> Recipe:
    """`recipe` with a number in the place of `distill.label_weight = 'auto'`; one that trains nothing as it is."""
    part = recipe.distill
    if part.label_weight != "auto" or not recipe.trains:
        return recipe
    if part.keep < 1:
        weight = weight_of_few(part.keep)
        run.tell(NAME, f"labels count {weight:.2f}, for {part.keep:.0%} of the samples")
    else:
        beside: dict[str, Any] = {} if run.panel is None else {"panel": run.panel}
        step = run.step(
            NAME,
            weigh,
            teacher=case.teacher,
            data=case.data.blind(),
            augment=part.augment,
            space=space_of_answers(case),
            seed=run.seed,
            threads=run.threads,
            **beside,
        )
        weight = step.result["weight"]
    found = part.model_copy(update={"label_weight": weight})
    return recipe.model_copy(update={"distill": found})


def weigh(
    at: At,
    *,
    teacher: Teacher,
    data: Calib,
    augment: str,
    space: Space,
    seed: int,
    threads: int,
    panel: Panel | None = None,
) -> Json:
    """Fits to labels and to answers, on one view of some fit samples, and sees what both say of the calibrate split."""
    views = Views(data, DistillPart(augment=augment), seed)
    chosen = np.sort(data.sample(data.fit, _SAMPLES))
    seen = views.at(chosen, 0)
    assert seen.labels is not None  # without them it is refused
    logits = ask(teacher, seen.x, (), threads).logits
    if panel is not None:
        others = [ask(one, seen.x, (), threads).logits for one in panel.others]
        logits = panel.joined([logits, *others], seen.labels)
    x = data.inputs(data.calibrate, 0, _ASKED)
    y = data.calibrate.y
    assert y is not None
    labels, truth = (_rows(one, logits.shape[1], space) for one in (seen.labels, y[: len(x)]))
    answers = _said(logits, space)
    if space == "values":  # so that no output counts more than another
        level = labels.std(0) + 1e-9
        labels, truth, answers = labels / level, truth / level, answers / level
    weight = held_out(_flat(seen.x), labels, answers, _flat(x), truth, seed)
    return {
        "summary": f"labels count {weight:.2f} beside answers, by {len(x):,} samples that were not fitted to",
        "weight": round(weight, 4),
    }


def _rows(labels: Array, outputs: int, space: Space) -> NDArray[np.float64]:
    """[n, c] in 0..1, or values."""
    if space == "classes":
        known = np.eye(outputs)[labels] if labels.ndim == 1 else labels
    else:
        # Of two shares one output stands for the second.
        known = labels[:, 1] if outputs == 1 and labels.shape[1:] == (2,) else labels
    return np.asarray(known, np.float64).reshape(len(labels), outputs)


def _said(logits: NDArray[np.float32], space: Space) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    if space == "classes":
        return np.asarray(softmax(wide, axis=1))
    return np.asarray(expit(wide)) if space == "yes-no" else wide


def _flat(x: Array) -> NDArray[np.float64]:
    return np.asarray(x, np.float64).reshape(len(x), -1)
