"""What the steps of a student inherited from an encoder of texts or images do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from squeeze import losses
from squeeze.errors import UnsupportedError
from squeeze.seal import WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.run import At
    from squeeze.spec import SupernetPart
    from squeeze.students.encoder import Encoder, Params
    from squeeze.train import Compute
    from squeeze.train.supernet.learner import Shared, SuperLM
    from squeeze.train.supernet.objective import Objective
    from squeeze.train.supernet.states import Told

Json = dict[str, Any]  # Any: JSON

SCORED_SAMPLES = 256
_COMPARED, _BATCH = 8, 32
_IMPORTANCE_SAMPLES, _UNTRAINED_SAMPLES = 128, 128


class Kept(Protocol):
    """A finished step, or what a folder holds of one."""

    @property
    def path(self) -> Path:
        """Where its files are."""

    @property
    def result(self) -> Json:
        """What it said."""

    def key(self) -> str:
        """What decided it."""


def tokens_of(case: Case, params: Params) -> int:
    """The tokens of a sample of the data, padding included: what a run costs."""
    return params.tokens(case.interface.inputs[0].shape[0])


def inherit(at: At, *, case: Case, seed: int, threads: int) -> Json:
    """Writes the teacher's own weights, sorted by what matters; or says why it has none that can be inherited."""
    from safetensors.torch import save_file

    from squeeze.students.encoder import fresh_tail
    from squeeze.train.supernet.importance import importance, sort
    from squeeze.train.supernet.inherited import inherited, stored
    from squeeze.train.supernet.samples import Samples
    from squeeze.train.threads import torch_threads

    data = case.data
    try:
        encoder = inherited(
            case.net.file,
            case.interface,
            data.feed(data.calibrate, 0, _COMPARED),
            case.teacher.output_activation,
        )
    except UnsupportedError as e:
        return {"summary": str(e), "status": "skipped"}
    if encoder.params.each:
        why = "no encoder that students can inherit from: its layers have several sizes"
        return {"summary": why, "status": "skipped"}
    with torch_threads(threads):
        samples = Samples(data, data.fit, encoder.params)
        batches = [tuple(samples.at(s)) for s in samples.in_order(_BATCH, _IMPORTANCE_SAMPLES)]
        found = importance(encoder, batches, seed=seed)
    params, state = fresh_tail(encoder.params, encoder.state_dict())
    save_file(sort(params, state, found), at.folder / WEIGHTS)
    half = found.kept[max(1, params.layers // 2)]
    said = ", ".join(str(layer) for layer in half)
    return {
        "summary": f"{params.layers} layers of {params.hidden}; half of them: {said}",
        "params": params.model_dump(mode="json"),
        "stored": stored(encoder),
        "kept": [list(found.kept[count]) for count in sorted(found.kept)],
    }


def keep_states(at: At, *, case: Case, inherited: Kept, threads: int) -> Json:
    """Writes what enters the last layer of the teacher for every token of the fit and the calibrate split."""
    from squeeze.train.supernet.samples import Samples
    from squeeze.train.supernet.states import write_states
    from squeeze.train.threads import torch_threads

    teacher = _teacher(inherited)
    data, tokens = case.data, 0
    with torch_threads(threads):
        for name, split in (("fit", data.fit), ("calibrate", data.calibrate)):
            samples = Samples(data, split, teacher.params)
            write_states(teacher, samples, at.folder / f"{name}.npy", at.progress)
            tokens += int(samples.lengths.sum())
    return {"summary": f"the teacher's states of {tokens:,} tokens"}


def score_parts(
    at: At,
    *,
    case: Case,
    inherited: Kept,
    told: Kept,
    trained: Kept,
    children: tuple[Params, ...],
    proxies: bool,
    part: SupernetPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """The loss of every one of `children`, cut out of `trained`, on samples of the calibrate split. proxies: and what
    is said of a part that nothing was trained for."""
    import numpy as np

    from squeeze.train.supernet.choice import score_all
    from squeeze.train.supernet.untrained import SCORES

    shared = shared_of(inherited, trained)
    tokens = tokens_of(case, shared.params)
    with compute.session(threads):
        learner = _learner(case, inherited, told, shared, list(children), part, compute, seed)
        scored = score_all(learner, children, tokens, SCORED_SAMPLES, at.progress)
        # Directions of a layer are no more than the tokens that they are read off.
        held = learner.held.samples
        x = held.at(np.arange(min(len(held), _UNTRAINED_SAMPLES)))
        rows = [one.to_json() for one in scored]
        for row, child in zip(rows, children if proxies else (), strict=False):
            encoder = shared.encoder(child)
            row |= {name: score(encoder, x) for name, score in SCORES.items()}
    losses_ = [s.loss for s in scored]
    return {
        "summary": f"loss {min(losses_):.3f} to {max(losses_):.3f} of {len(scored)} parts",
        "parts": rows,
    }


def _teacher(inherited: Kept) -> Encoder:
    """The whole teacher, its parts sorted."""
    from safetensors.torch import load_file

    from squeeze.students.encoder import Encoder, Params

    found = Encoder(Params.model_validate(inherited.result["params"]))
    found.load_state_dict(load_file(inherited.path / WEIGHTS))
    return found.eval()


def shared_of(inherited: Kept, weights: Kept) -> Shared:
    """A network of the sizes of the teacher, with the weights that a step wrote."""
    from safetensors.torch import load_file

    from squeeze.students.encoder import Params
    from squeeze.train.supernet.learner import Shared

    params = Params.model_validate(inherited.result["params"])
    kept = {len(layers): tuple(layers) for layers in inherited.result["kept"]}
    return Shared(params, load_file(weights.path / WEIGHTS), kept)


def told_of(case: Case, inherited: Kept, told: Kept) -> tuple[Told, Told]:
    """What the teacher said of the fit and of the calibrate split."""
    from squeeze.train.supernet.samples import Samples
    from squeeze.train.supernet.states import open_states

    teacher, data = _teacher(inherited), case.data
    fit, held = (
        open_states(teacher, Samples(data, split, teacher.params), told.path / f"{name}.npy")
        for name, split in (("fit", data.fit), ("calibrate", data.calibrate))
    )
    return fit, held


def objective_of(
    case: Case, params: Params, *, attention: float = 0.0, label_weight: float = 0.0
) -> Objective:
    """What an encoder learns from a teacher of `params`; without a label weight no labels are read. attention: as
    `Objective` has it."""
    from squeeze.train.supernet.objective import Objective

    space = losses.space_of(
        params.outputs,
        case.teacher.output_activation,
        "cosine" if params.normalise else case.data.metric,
        case.data.classes,
        valued=False,
    )
    answer = losses.LOSSES[losses.USUAL[space]](label_weight=label_weight)
    return Objective(answer, attention=attention, head_size=params.head_size)


def _learner(
    case: Case,
    inherited: Kept,
    told: Kept,
    shared: Shared,
    children: list[Params],
    part: SupernetPart,
    compute: Compute,
    seed: int,
) -> SuperLM:
    from squeeze.train.supernet.learner import SuperLM

    fit, held = told_of(case, inherited, told)
    objective = objective_of(case, shared.params, attention=part.attention)
    return SuperLM(shared, children, fit, held, objective, part, compute, steps=1, seed=seed)
