"""What the trainings of a weight-sharing encoder do: of all parts of a space together, and of one of them alone.

Each is described before its first step, for a plan times some steps of what the training then does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze import budget
from squeeze.seal import WEIGHTS
from squeeze.steps.inheriting_work import SCORED_SAMPLES, Kept, objective_of, shared_of, told_of
from squeeze.steps.planning import recorded

if TYPE_CHECKING:
    from torch import Tensor

    from squeeze.budget import Ahead, Left
    from squeeze.case import Case
    from squeeze.run import At
    from squeeze.spec import SupernetPart
    from squeeze.students.encoder import Params
    from squeeze.train import Compute
    from squeeze.train.supernet.learner import Shared
    from squeeze.train.supernet.space import Name
    from squeeze.train.supernet.train import SharedTraining, TrainedShared

Json = dict[str, Any]  # Any: JSON

_BATCH = 32


def train_supernet(
    at: At,
    *,
    case: Case,
    inherited: Kept,
    told: Kept,
    space: Name,
    part: SupernetPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of the network of which all parts of the space `name` are parts."""
    training = _of_space(case, inherited, told, space, part, compute, seed, threads)
    found = written(at, training, f"{case.key()} {told.key()} {space}")
    summary = f"{found.summary} of {len(training.children)} parts, space '{space}'"
    return {"summary": summary, "history": found.history}


def plan_supernet(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    case: Case,
    inherited: Kept,
    told: Kept,
    space: Name,
    part: SupernetPart,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of it, and says how many it gets. ahead: of one part alone."""
    learning = _of_space(case, inherited, told, space, part, compute, seed, threads)
    pace, alone_s = learning.pace()
    made = budget.plan(
        training,
        "supernet.steps",
        part.steps,
        pace,
        left,
        later_s=learning.scoring_s(SCORED_SAMPLES) + ahead.sure * alone_s,
        maybe_s=ahead.maybe * alone_s,
    )
    return recorded(made)


def train_further(
    at: At,
    *,
    case: Case,
    inherited: Kept,
    told: Kept,
    trained: Kept,
    child: Params,
    layers: tuple[int, ...],
    part: SupernetPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of one part, trained alone for `part.further` steps."""
    from safetensors.torch import save_file

    alone = _alone(case, inherited, trained, child, layers)
    child = alone.params
    sizes = f"{child.layers} layers of {child.hidden}, {child.heads} heads, {child.ffn} between"
    sizes += "" if child.rank is None else f", words of {child.rank}"
    if not part.further:
        save_file(dict(alone.weights), at.folder / WEIGHTS)
        return {"summary": sizes, "history": []}
    training = _of_part(case, inherited, told, alone, part, compute, seed, threads)
    found = written(at, training, f"{case.key()} {trained.key()}")
    return {"summary": f"{sizes}: {found.summary}", "history": found.history}


def plan_further(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    case: Case,
    inherited: Kept,
    told: Kept,
    trained: Kept,
    child: Params,
    layers: tuple[int, ...],
    part: SupernetPart,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of it, and says how many it gets."""
    alone = _alone(case, inherited, trained, child, layers)
    learning = _of_part(case, inherited, told, alone, part, compute, seed, threads)
    return planned_alone(learning, training, "supernet.further", left, ahead)


def planned_alone(
    learning: SharedTraining, training: str, key: str, left: Left, ahead: Ahead
) -> Json:
    """The plan of a part that is trained alone."""
    pace, _ = learning.pace()
    made = budget.plan(
        training,
        key,
        learning.steps,
        pace,
        left,
        later_s=ahead.sure * pace.step_s,
        maybe_s=ahead.maybe * pace.step_s,
    )
    return recorded(made)


def written(at: At, training: SharedTraining, identity: str) -> TrainedShared:
    """What came of a training, its weights in the folder of the step."""
    from safetensors.torch import save_file

    found = training.train(identity=identity, folder=at.folder, progress=at.progress)
    save_file(found.weights, at.folder / WEIGHTS)
    return found


def _of_space(
    case: Case,
    inherited: Kept,
    told: Kept,
    space: Name,
    part: SupernetPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> SharedTraining:
    from squeeze.train.supernet.space import sub_space
    from squeeze.train.supernet.train import SharedTraining

    shared = shared_of(inherited, inherited)
    return SharedTraining(
        shared,
        sub_space(space, shared.params).children(shared.params),
        *told_of(case, inherited, told),
        objective_of(case, shared.params, attention=part.attention),
        part,
        steps=part.steps,
        seed=seed,
        threads=threads,
        compute=compute,
    )


def _of_part(
    case: Case,
    inherited: Kept,
    told: Kept,
    alone: Shared,
    part: SupernetPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> SharedTraining:
    from squeeze.train.supernet.train import SharedTraining

    teacher = shared_of(inherited, inherited).params
    return SharedTraining(
        alone,
        [alone.params],
        *told_of(case, inherited, told),
        objective_of(case, teacher, attention=part.attention),
        part,
        steps=part.further,
        seed=seed,
        threads=threads,
        compute=compute,
    )


def _alone(
    case: Case, inherited: Kept, trained: Kept, child: Params, layers: tuple[int, ...]
) -> Shared:
    """A part of `trained` as a network by itself, whose only part it is."""
    from squeeze.students.encoder import factorised
    from squeeze.train.supernet.learner import Shared

    whole = shared_of(inherited, trained)
    if layers:
        whole = replace(whole, kept={**whole.kept, len(layers): layers})
    weights = whole.child(child.model_copy(update={"rank": whole.params.rank}))
    if child.rank != whole.params.rank and child.rank is not None:
        counts = _counts(case, child)
        child, weights = factorised(child, weights, counts, child.rank)
    return Shared(child, weights, {child.layers: tuple(range(child.layers))})


def _counts(case: Case, params: Params) -> Tensor:
    """How often the texts of the fit split have each word, [vocabulary]."""
    import torch

    from squeeze.train.supernet.samples import Samples

    texts = Samples(case.data, case.data.fit, params)
    found = torch.zeros(params.vocabulary)
    for samples in texts.in_order(_BATCH):
        given = dict(zip(params.inputs, texts.at(samples), strict=True))
        ids = given[params.ids]
        counted = ids if params.mask is None else ids[given[params.mask] != 0]
        found += torch.bincount(counted.flatten(), minlength=params.vocabulary)
    return found
