"""What the steps of a training in stages do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.seal import WEIGHTS
from squeeze.steps.inheriting_work import Kept, objective_of, tokens_of, told_of
from squeeze.steps.sharing_work import planned_alone, written

if TYPE_CHECKING:
    from torch import Tensor

    from squeeze.budget import Ahead, Left
    from squeeze.case import Case
    from squeeze.run import At
    from squeeze.spec import Stage, SupernetPart
    from squeeze.steps.problem import Source
    from squeeze.students.encoder import Params
    from squeeze.train import Compute
    from squeeze.train.supernet.train import SharedTraining

Json = dict[str, Any]  # Any: JSON

_COMPARED = 8


def adopt_pretrained(at: At, *, source: Source, case: Case, inherited: Kept) -> Json:
    """Writes the weights of the model that the teacher was fine-tuned from, its hidden dimensions in the order in which
    those of the teacher are now. Raises ConfigError for one that does not read the same texts."""
    import torch
    from safetensors.torch import load_file, save_file

    from squeeze import teacher as teachers
    from squeeze.students.encoder import Params, fresh_tail
    from squeeze.train.supernet.importance import by_hidden, in_order, order_of
    from squeeze.train.supernet.inherited import inherited as network_of

    data = case.data
    feed = data.feed(data.calibrate, 0, _COMPARED)
    found = teachers.load(source.path, weights=None, example=feed, folder=at.folder)
    try:
        pretrained = network_of(found.model, found.interface, feed, found.output_activation)
        ours = network_of(case.net.file, case.interface, feed, case.teacher.output_activation)
    except UnsupportedError as e:
        raise ConfigError(f"--pretrained {source.path}: {e}") from e
    teacher = Params.model_validate(inherited.result["params"])
    _refuse_other_texts(source.path, pretrained.params, teacher, tokens_of(case, teacher))
    params, state = fresh_tail(pretrained.params, pretrained.state_dict())
    if params.hidden == teacher.hidden:
        moved = by_hidden(teacher, load_file(inherited.path / WEIGHTS))
        order = order_of(by_hidden(ours.params, ours.state_dict()), moved)
        state = in_order(params, state, order)
    save_file({name: value.to(torch.float32) for name, value in state.items()}, at.folder / WEIGHTS)
    return {
        "summary": f"{source.path}: {params.layers} layers of {params.hidden}, for the first stage",
        "params": params.model_dump(mode="json"),
    }


def _refuse_other_texts(path: str, found: Params, teacher: Params, tokens: int) -> None:
    """Raises ConfigError unless both read the same tokens from the same inputs."""

    def of(params: Params) -> str:
        return f"{', '.join(params.inputs)} with a vocabulary of {params.vocabulary:,}"

    same = [(p.inputs, p.ids, p.mask, p.types, p.vocabulary) for p in (found, teacher)]
    if same[0] != same[1]:
        why = f"takes {of(found)}, the teacher {of(teacher)}"
    elif found.positions < tokens:
        why = f"has positions for {found.positions} tokens, texts have {tokens}"
    else:
        return
    raise ConfigError(f"--pretrained {path}: {why}; give the model that it was fine-tuned from")


def train_stage(
    at: At,
    *,
    case: Case,
    teacher: Kept,
    told: Kept,
    before: Kept,
    child: Params,
    stage: Stage,
    part: SupernetPart,
    label_weight: float,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of a part that went through one stage. case: its data are those of the stage. teacher: whose
    states `told` are. label_weight: of the labels beside the teacher's answers."""
    learning = _learning(
        case, teacher, told, before, child, stage, part, label_weight, compute, seed, threads
    )
    identity = f"{case.key()} {told.key()} {before.key()} {stage.key()} {label_weight:g}"
    found = written(at, learning, identity)
    texts = f"{len(case.data.fit):,} {stage.data} texts, {stage.teacher} teacher"
    labels = ", labels" if _labelled(case, child) else ", no labels"
    said = texts if stage.loss == "latent" else texts + labels
    return {"summary": f"{said}: {found.summary}", "history": found.history}


def plan_stage(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    case: Case,
    teacher: Kept,
    told: Kept,
    before: Kept,
    child: Params,
    stage: Stage,
    part: SupernetPart,
    label_weight: float,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of it, and says how many it gets."""
    learning = _learning(
        case, teacher, told, before, child, stage, part, label_weight, compute, seed, threads
    )
    return planned_alone(learning, training, "stages.steps", left, ahead)


def _learning(
    case: Case,
    teacher: Kept,
    told: Kept,
    before: Kept,
    child: Params,
    stage: Stage,
    part: SupernetPart,
    label_weight: float,
    compute: Compute,
    seed: int,
    threads: int,
) -> SharedTraining:
    from safetensors.torch import load_file

    from squeeze.train.supernet.learner import Shared
    from squeeze.train.supernet.train import SharedTraining

    weights: dict[str, Tensor] = load_file(before.path / WEIGHTS)
    weight = label_weight if _labelled(case, child) else 0.0
    objective = objective_of(case, child, attention=part.attention, label_weight=weight)
    if stage.loss == "latent":
        objective = replace(objective, answers=0.0, pairs=0.0)
    return SharedTraining(
        Shared(child, weights, {child.layers: tuple(range(child.layers))}),
        [child],
        *told_of(case, teacher, told),
        objective,
        part,
        steps=stage.steps,
        seed=seed,
        threads=threads,
        compute=compute,
    )


def _labelled(case: Case, child: Params) -> bool:
    return case.data.fit.y is not None and child.pooling != "none"
