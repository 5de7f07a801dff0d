"""A vision transformer that looks at parts of images before it is distilled; its teacher is one too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import budget
from squeeze.errors import UnsupportedError
from squeeze.seal import WEIGHTS
from squeeze.spec import DistillPart
from squeeze.steps.answering import answered
from squeeze.steps.inheriting import inherits, shareable
from squeeze.steps.planning import after_student, planned, recorded, spared, untimed
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.budget import Ahead, Left
    from squeeze.case import Case
    from squeeze.run import At, Run
    from squeeze.spec import ArchSpec, MaskedPart, Recipe
    from squeeze.train import Compute
    from squeeze.train.masked.train import MaskedTraining
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "masked"
_FAMILY = "vit"
_COMPARED = 8


def refuse_unmasked(run: Run, case: Case, recipe: Recipe) -> None:
    """Raises UnsupportedError where `masked.steps` are asked for and no student could have them."""
    part, families = recipe.masked, recipe.search.families
    if not part.steps:
        return
    why = ""
    if not recipe.search.evaluations:
        why = "no student is searched (search.evaluations = 0); leave them away"
    elif _FAMILY not in families:
        why = f"are for the family '{_FAMILY}', which search.families does not name; add it"
    elif case.data.modality != "image" or not shareable(case):
        why = "are for images and a teacher that is a vision transformer; set them to 0"
    elif inherits(run, case, recipe):
        why = "are for students that begin at random; take search.start = 'anew', or set them to 0"
    if why:
        raise UnsupportedError(f"masked.steps: {why}")


def masked_student(run: Run, case: Case, recipe: Recipe, arch: ArchSpec) -> Step | None:
    """The step with the weights that a student begins its distillation with; None, with the reason in the log, where it
    begins at random."""
    part = recipe.masked
    if not part.steps:
        return None
    if arch.family != _FAMILY:
        run.skip(NAME, f"the student is of the family '{arch.family}'; search.families = ['vit']")
        return None
    distill = recipe.distill
    # The views alone: with other steps of distillation it is found trained.
    seen = DistillPart(
        augment=distill.augment, views=distill.views, checkpoint_s=distill.checkpoint_s
    )
    given: Json = {"case": case.blind(), "arch": arch, "seen": seen}
    if run.budget is not None:
        answers = answered(run, case, distill)
        made = planned(
            run,
            plan_masked,
            NAME,
            ahead=after_student(recipe),
            part=part,
            distill=distill,
            answers=answers,
            **given,
        )
        part = part.model_copy(update={"steps": spared(run, made, part.steps)})
    if not part.steps:
        return None
    trained = run.step(
        NAME,
        train_student_masked,
        part=part,
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
        **given,
    )
    return trained if trained.result.get("status") != "skipped" else None


def plan_masked(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    case: Case,
    arch: ArchSpec,
    part: MaskedPart,
    seen: DistillPart,
    distill: DistillPart,
    answers: Step,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of the student's training on parts of images and of its distillation, which comes next, and
    says how many the former gets."""
    from squeeze.train.student import pace_of_student

    try:
        learning = _learning(case, arch, part, seen, compute, seed, threads)
    except UnsupportedError as e:  # then the training says so, too
        return untimed(training, e)
    pace = learning.pace()
    next_one = pace_of_student(
        arch, case.data, distill, answers=answers.path, seed=seed, threads=threads, compute=compute
    )
    made = budget.plan(
        training,
        "masked.steps",
        part.steps,
        pace,
        left,
        later_s=next_one.seconds(distill.steps) + ahead.sure * next_one.step_s,
        maybe_s=ahead.maybe * next_one.step_s,
    )
    return recorded(made)


def train_student_masked(
    at: At,
    *,
    case: Case,
    arch: ArchSpec,
    part: MaskedPart,
    seen: DistillPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of a student that saw parts of images; or says why its teacher has no part in that. seen: the
    views of them."""
    from safetensors.torch import save_file

    try:
        learning = _learning(case, arch, part, seen, compute, seed, threads)
    except UnsupportedError as e:
        return {"summary": str(e), "status": "skipped"}
    found = learning.train(
        identity=digest_json(case.key()),
        folder=at.folder,
        progress=at.progress,
        checkpoint_s=seen.checkpoint_s,
    )
    save_file(found.weights, at.folder / WEIGHTS)
    return {"summary": found.summary, "history": found.history}


def _learning(
    case: Case,
    arch: ArchSpec,
    part: MaskedPart,
    seen: DistillPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> MaskedTraining:
    """The training before its first step. Raises UnsupportedError, in a line, for a teacher that has no part in it."""
    from squeeze.students.vit import Params
    from squeeze.train.masked.grid import shared_grid
    from squeeze.train.masked.train import MaskedTraining
    from squeeze.train.supernet.inherited import inherited

    data, params = case.data, Params.model_validate(arch.params)
    feed = data.feed(data.calibrate, 0, _COMPARED)
    encoder = inherited(case.net.file, case.interface, feed, case.teacher.output_activation)
    patches = encoder.params.patches
    assert patches is not None  # of images there is no other encoder
    grid = shared_grid(patches.size, (params.patch, params.patch), patches.patch)
    if grid is None:
        theirs = "x".join(map(str, patches.patch))
        raise UnsupportedError(
            f"patches of {params.patch} and the teacher's of {theirs} pixels share no grid"
        )
    return MaskedTraining(
        arch, encoder, grid, data, part, seen, seed=seed, threads=threads, compute=compute
    )
