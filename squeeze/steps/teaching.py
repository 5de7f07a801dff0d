"""What of `[distill]` does not fit this teacher, this data or the rest of the recipe, and what answers will take on
disk: said before anything is searched or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import ConfigError
from squeeze.guides.answers import bytes_needed, coded_for
from squeeze.guides.views import Views
from squeeze.steps.answering import space_of_answers, untrainable
from squeeze.steps.inheriting import inherits

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import DistillPart, Recipe

_MUCH_BYTES = 1 << 30  # nobody asks what less takes
_WEIGHED = ("classes", "values", "yes-no")


def refuse_unteachable(run: Run, case: Case, recipe: Recipe) -> None:
    """Raises ConfigError for what does not fit; tells the room that answers need where there is much of it, or where it
    was asked to be little."""
    part = recipe.distill
    if part.assistants and (why := _no_assistants(run, case, recipe)):
        raise ConfigError(
            f"distill.assistants: teach students that are searched and begin anew, and {why}; set it to 0"
        )
    if not recipe.trains or untrainable(case, maps=True):
        return
    if part.codec != "full":
        coded_for(part.codec, case.teacher, case.data)
    _refuse_loss(case, part)
    _refuse_crops(case, part, run.seed)
    _refuse_sorting(case, part)
    if part.label_weight == "auto" and part.keep == 1:
        _refuse_weighing(case)
    _tell_room(run, case, part)


def _no_assistants(run: Run, case: Case, recipe: Recipe) -> str:
    """Why no student begins anew; empty where one may."""
    if recipe.search.evaluations == 0:
        return f"recipe '{recipe.name}' searches none (search.evaluations = 0)"
    if inherits(run, case, recipe) or run.supernet is not None:
        return "this one is a part of a network that is trained with the teacher"
    if recipe.start == "inherit":
        return "this one is the teacher made smaller (search.start = 'inherit')"
    return ""


def _refuse_loss(case: Case, part: DistillPart) -> None:
    from squeeze.train.lesson import loss_of

    # Which weight labels have is known later, and no loss minds it.
    weight = 0.0 if part.label_weight == "auto" else part.label_weight
    shape = case.teacher.output.shape
    loss_of(part, case.data, shape, case.teacher.output_activation, weight)


def _refuse_crops(case: Case, part: DistillPart, seed: int) -> None:
    if part.crops == 1:
        return
    if part.batch_size % part.crops:
        raise ConfigError(
            f"distill.crops: got {part.crops}, and a batch of {part.batch_size} (distill.batch_size) is not made of "
            "as many views of each sample; take a number that divides it"
        )
    views = Views(case.data, part, seed).count
    if views < part.crops:
        raise ConfigError(
            f"distill.crops: got {part.crops} views of a sample in a batch, and it has {views}; take more "
            "distill.views, and an augmentation"
        )


def _refuse_sorting(case: Case, part: DistillPart) -> None:
    shares = {
        "distill.drop_unsure": part.drop_unsure,
        "distill.label_unsure": part.label_unsure,
        "distill.thin_sure": part.thin_sure,
    }
    asked = [key for key, share in shares.items() if share]
    if not asked:
        return
    space = space_of_answers(case)
    if space != "classes":
        raise ConfigError(f"{asked[0]}: is for classes, and these outputs are {space}; set it to 0")
    if part.codec == "hard":
        raise ConfigError(
            f"{asked[0]}: goes by how sure the guide is, which distill.codec 'hard' does not keep; take another codec"
        )
    if sum(shares.values()) > 1:
        raise ConfigError(
            f"{', '.join(asked)}: are {sum(shares.values()):g} of all views together; take 1 at most"
        )
    if part.label_unsure and (why := _unlabelled(case)):
        raise ConfigError(f"distill.label_unsure: {why}; set it to 0, or use distill.drop_unsure")


def _refuse_weighing(case: Case) -> None:
    space = space_of_answers(case)
    if len(case.interface.inputs) > 1 or case.data.modality == "tokens":
        why = "is for models with one input of real numbers"
    elif space not in _WEIGHED:
        why = f"is for classes and values, and these outputs are {space}"
    else:
        why = _unlabelled(case)
    if why:
        raise ConfigError(f"distill.label_weight: 'auto' {why}; give a number, such as 0.1")


def _unlabelled(case: Case) -> str:
    """What is wrong with the labels to train with; empty where they say what answers say."""
    data, outputs = case.data, case.teacher.output.shape[0]
    if data.fit.y is None or data.calibrate.y is None:
        beside = " (samples of --extra have none)" if data.fit.extra else ""
        return f"needs labels, and the samples to train with have none{beside}"
    if space_of_answers(case) == "classes" and data.classes not in (None, outputs):
        return f"needs labels of the {outputs} classes of the model, and those of the data are of {data.classes}"
    return ""


def _tell_room(run: Run, case: Case, part: DistillPart) -> None:
    views = Views(case.data, part, run.seed)
    needed = bytes_needed(views, part, case.teacher)
    if needed < _MUCH_BYTES and part.codec == "full" and views.augment != "region":
        return
    n = len(case.data.fit)
    run.tell(
        "labels",
        f"answers to {views.count} views of {n:,} samples take {needed / 1e6:,.1f} MB as '{part.codec}' "
        f"({needed / (n * views.count):,.0f} bytes each), and what is changed in a view nothing",
    )
