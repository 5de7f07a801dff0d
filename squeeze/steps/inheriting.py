"""A student of a text encoder: a part of the teacher, picked from one weight-sharing network and trained further.

No key of a training holds a device: one network serves all devices, each with the part that fits it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from squeeze import losses, students
from squeeze.errors import UnsupportedError
from squeeze.net import FloatNet
from squeeze.spec import ArchSpec
from squeeze.steps.exporting import export_student

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.run import At, Run
    from squeeze.spec import Recipe, SupernetPart
    from squeeze.students.encoder import Encoder, Params
    from squeeze.train import Compute
    from squeeze.train.supernet.choice import Scored
    from squeeze.train.supernet.learner import Shared, SuperLM
    from squeeze.train.supernet.objective import Objective
    from squeeze.train.supernet.space import Name
    from squeeze.train.supernet.states import Told

Json = dict[str, Any]  # Any: JSON

# Of linear layers on CPUs with integer products: what int8 brings a text encoder over float.
INT8_SPEEDUP = 3.0
WEIGHTS = "weights.safetensors"
_COMPARED, _BATCH = 8, 32
_IMPORTANCE_TEXTS, _SCORED_TEXTS = 128, 256
_BYTES_RESERVE = 0.95


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


def inherits(case: Case) -> bool:
    """Whether the teacher could be a text encoder: its inputs are integers [n, s] of one length, its output is one."""
    inputs, outputs = case.interface.inputs, case.interface.outputs
    integers = all(np.dtype(s.dtype).kind in "iu" and len(s.shape) == 1 for s in inputs)
    firsts = all(spec.batch_axis == 0 for spec in (*inputs, *outputs))
    return integers and firsts and len(outputs) == 1 and case.data.modality == "tokens"


def inheriting_student(
    run: Run, case: Case, device: Device, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The part of the teacher that fits `device`, trained; None, with the reason in the log, where there is none."""
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.space import NAMES

    part, blind, given = recipe.supernet, case.blind(), run.supernet
    inherited = _inherited(run, blind) if given is None else given.inherited
    if "params" not in inherited.result:
        return None
    teacher = Params.model_validate(inherited.result["params"])
    limits = _limits(case, recipe, front, teacher)
    known = NAMES if given is None else tuple(given.spaces)
    fitting = space_for(teacher, tokens_of(case), limits[0], known)
    space = fitting if part.space == "auto" or part.space not in known else part.space
    if given is None:
        trained, scored = shared_network(run, case, inherited, part, space)
    else:
        trained, scored = given.spaces[space]
    picked = pick(scored, teacher, *limits, tokens_of(case))
    if picked is None:
        run.skip("distill", f"no part of the space '{space}' is inside the goal")
        return None
    distilled = further_trained(run, case, inherited, trained, picked.params, part)
    arch = ArchSpec(family=students.ENCODER, params=picked.params.model_dump(mode="json"))
    made = run.step(
        "export",
        export_student,
        trained=distilled,
        arch=arch,
        case=blind,
        opset=device.numerics.opset,
    )
    return FloatNet(
        "student",
        made.path / "student.onnx",
        made.result["digest"],
        case.interface,
        arch=arch,
        weights=distilled.path / WEIGHTS,
        story={"training": distilled.result["history"], "steps": part.further},
    )


def shared_network(
    run: Run, case: Case, inherited: Kept, part: SupernetPart, space: Name
) -> tuple[Kept, Kept]:
    """The steps with the weights of the network of a space, and with the loss of each of its parts."""
    learning = _learning(run, case, inherited, part)
    trained = run.step("supernet", train_supernet, space=space, **learning)
    return trained, run.step("parts", score_parts, space=space, trained=trained, **learning)


def further_trained(
    run: Run,
    case: Case,
    inherited: Kept,
    trained: Kept,
    child: Params,
    part: SupernetPart,
    layers: tuple[int, ...] = (),
) -> Kept:
    """The step with the weights of one part of `trained`, trained alone. layers: which of them it has; () for those
    that lose least."""
    learning = _learning(run, case, inherited, part)
    return run.step(
        "distill", train_further, trained=trained, child=child, layers=layers, **learning
    )


def inherited_from(run: Run, case: Case) -> Kept:
    """The step with the teacher's own weights, sorted. Raises UnsupportedError for a teacher that has none to give."""
    found = _inherited(run, case.blind())
    if "params" not in found.result:
        raise UnsupportedError(f"{case.teacher.source}: {found.result['summary']}")
    return found


def _inherited(run: Run, blind: Case) -> Kept:
    return run.step("inherit", inherit, case=blind, seed=run.seed, threads=run.threads)


def _learning(run: Run, case: Case, inherited: Kept, part: SupernetPart) -> Json:
    """What every training of parts is given."""
    blind = case.blind()
    told = run.step("told", keep_states, case=blind, inherited=inherited, threads=run.threads)
    return {
        "case": blind,
        "inherited": inherited,
        "told": told,
        "part": part,
        "compute": run.compute,
        "seed": run.seed,
        "threads": run.threads,
    }


def tokens_of(case: Case) -> int:
    """The length of a sample of the data, padding included: what a run costs."""
    return case.interface.inputs[0].shape[0]


def _limits(case: Case, recipe: Recipe, front: Front, teacher: Params) -> tuple[float, float]:
    """MACs and parameters that a student may have: of the goal where it says so, else of the recipe's speedup."""
    goal, whole = recipe.goal, teacher.costs(tokens_of(case))
    share = min(1.0, INT8_SPEEDUP / recipe.search.speedup)
    if goal.max_latency_ms is not None:
        times = [t.p50_ms for t in front.timed().values() if t.p50_ms is not None]
        if times:
            share = min(1.0, goal.max_latency_ms / min(times))
    params = float("inf")
    if goal.max_bytes is not None:
        params = _BYTES_RESERVE * (goal.max_bytes - front.beside_bytes)
    return share * whole.macs, params


def space_for(teacher: Params, tokens: int, macs: float, among: Sequence[Name]) -> Name:
    """The smallest space whose largest part does at least as many MACs as are allowed; else the largest space."""
    from squeeze.train.supernet.space import sub_space

    largest = {
        name: sub_space(name, teacher).children(teacher)[-1].costs(tokens).macs for name in among
    }
    enough = [name for name in among if largest[name] >= macs]
    return min(enough, key=largest.__getitem__) if enough else max(among, key=largest.__getitem__)


def pick(scored: Kept, teacher: Params, macs: float, params: float, tokens: int) -> Scored | None:
    """The best part inside the limits, for samples of `tokens`."""
    from squeeze.train.supernet.choice import Scored, best

    found = []
    for row in scored.result["parts"]:
        sizes = {n: row[n] for n in ("layers", "hidden", "heads", "ffn")}
        small = teacher.model_copy(update=sizes)
        found.append(Scored(small, row["parameters"], row["macs"], row["loss"]))
    return best(found, macs, params, tokens)


def inherit(at: At, *, case: Case, seed: int, threads: int) -> Json:
    """Writes the teacher's own weights, sorted by what matters; or says why it has none that can be inherited."""
    from safetensors.torch import save_file

    from squeeze.students.encoder import fresh_tail
    from squeeze.train.supernet.importance import importance, sort
    from squeeze.train.supernet.inherited import inherited
    from squeeze.train.supernet.texts import Texts
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
    with torch_threads(threads):
        texts = Texts(data, data.fit, encoder.params)
        batches = [tuple(texts.at(s)) for s in texts.in_order(_BATCH, _IMPORTANCE_TEXTS)]
        found = importance(encoder, batches, seed=seed)
    params, state = fresh_tail(encoder.params, encoder.state_dict())
    save_file(sort(params, state, found), at.folder / WEIGHTS)
    half = found.kept[max(1, params.layers // 2)]
    said = ", ".join(str(layer) for layer in half)
    return {
        "summary": f"{params.layers} layers of {params.hidden}; half of them: {said}",
        "params": params.model_dump(mode="json"),
        "kept": [list(found.kept[count]) for count in sorted(found.kept)],
    }


def keep_states(at: At, *, case: Case, inherited: Kept, threads: int) -> Json:
    """Writes what enters the last layer of the teacher for every token of the fit and the calibrate split."""
    from squeeze.train.supernet.states import write_states
    from squeeze.train.supernet.texts import Texts
    from squeeze.train.threads import torch_threads

    teacher = _teacher(inherited)
    data, tokens = case.data, 0
    with torch_threads(threads):
        for name, split in (("fit", data.fit), ("calibrate", data.calibrate)):
            texts = Texts(data, split, teacher.params)
            write_states(teacher, texts, at.folder / f"{name}.npy", at.progress)
            tokens += int(texts.lengths.sum())
    return {"summary": f"the teacher's states of {tokens:,} tokens"}


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
    from safetensors.torch import save_file

    from squeeze.train.supernet.space import sub_space
    from squeeze.train.supernet.train import train_shared

    shared = _shared(inherited, inherited)
    children = sub_space(space, shared.params).children(shared.params)
    found = train_shared(
        shared,
        children,
        *_told(case, inherited, told),
        _objective(case, shared.params),
        part,
        steps=part.steps,
        identity=f"{case.key()} {told.key()} {space}",
        seed=seed,
        threads=threads,
        compute=compute,
        folder=at.folder,
        progress=at.progress,
    )
    save_file(found.weights, at.folder / WEIGHTS)
    summary = f"{found.summary} of {len(children)} parts, space '{space}'"
    return {"summary": summary, "history": found.history}


def score_parts(
    at: At,
    *,
    case: Case,
    inherited: Kept,
    told: Kept,
    trained: Kept,
    space: Name,
    part: SupernetPart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """The loss of every part on texts of the calibrate split."""
    from squeeze.train.supernet.choice import score_all
    from squeeze.train.supernet.space import sub_space

    shared = _shared(inherited, trained)
    children = sub_space(space, shared.params).children(shared.params)
    with compute.session(threads):
        learner = _learner(case, inherited, told, shared, children, part, compute, seed)
        scored = score_all(learner, children, tokens_of(case), _SCORED_TEXTS, at.progress)
    losses_ = [s.loss for s in scored]
    return {
        "summary": f"loss {min(losses_):.3f} to {max(losses_):.3f} of {len(scored)} parts",
        "parts": [s.to_json() for s in scored],
    }


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

    from squeeze.students.encoder import factorised
    from squeeze.train.supernet.learner import Shared
    from squeeze.train.supernet.train import train_shared

    whole = _shared(inherited, trained)
    if layers:
        whole = replace(whole, kept={**whole.kept, len(layers): layers})
    weights = whole.child(child.model_copy(update={"rank": whole.params.rank}))
    if child.rank != whole.params.rank and child.rank is not None:
        counts = _counts(case, child)
        child, weights = factorised(child, weights, counts, child.rank)
    alone = Shared(child, weights, {child.layers: tuple(range(child.layers))})
    sizes = f"{child.layers} layers of {child.hidden}, {child.heads} heads, {child.ffn} between"
    sizes += "" if child.rank is None else f", words of {child.rank}"
    if not part.further:
        save_file(dict(alone.weights), at.folder / WEIGHTS)
        return {"summary": sizes, "history": []}
    found = train_shared(
        alone,
        [child],
        *_told(case, inherited, told),
        _objective(case, whole.params),
        part,
        steps=part.further,
        identity=f"{case.key()} {trained.key()}",
        seed=seed,
        threads=threads,
        compute=compute,
        folder=at.folder,
        progress=at.progress,
    )
    save_file(found.weights, at.folder / WEIGHTS)
    return {"summary": f"{sizes}: {found.summary}", "history": found.history}


def _counts(case: Case, params: Params) -> Tensor:
    """How often the texts of the fit split have each word, [vocabulary]."""
    import torch

    from squeeze.train.supernet.texts import Texts

    texts = Texts(case.data, case.data.fit, params)
    found = torch.zeros(params.vocabulary)
    for samples in texts.in_order(_BATCH):
        given = dict(zip(params.inputs, texts.at(samples), strict=True))
        ids = given[params.ids]
        counted = ids if params.mask is None else ids[given[params.mask] != 0]
        found += torch.bincount(counted.flatten(), minlength=params.vocabulary)
    return found


def _teacher(inherited: Kept) -> Encoder:
    """The whole teacher, its parts sorted."""
    from safetensors.torch import load_file

    from squeeze.students.encoder import Encoder, Params

    found = Encoder(Params.model_validate(inherited.result["params"]))
    found.load_state_dict(load_file(inherited.path / WEIGHTS))
    return found.eval()


def _shared(inherited: Kept, weights: Kept) -> Shared:
    from safetensors.torch import load_file

    from squeeze.students.encoder import Params
    from squeeze.train.supernet.learner import Shared

    params = Params.model_validate(inherited.result["params"])
    kept = {len(layers): tuple(layers) for layers in inherited.result["kept"]}
    return Shared(params, load_file(weights.path / WEIGHTS), kept)


def _told(case: Case, inherited: Kept, told: Kept) -> tuple[Told, Told]:
    """What the teacher said of the fit and of the calibrate split."""
    from squeeze.train.supernet.states import open_states
    from squeeze.train.supernet.texts import Texts

    teacher, data = _teacher(inherited), case.data
    fit, held = (
        open_states(teacher, Texts(data, split, teacher.params), told.path / f"{name}.npy")
        for name, split in (("fit", data.fit), ("calibrate", data.calibrate))
    )
    return fit, held


def _objective(case: Case, params: Params) -> Objective:
    from squeeze.train.supernet.objective import Objective

    outputs = params.tail[-1].outputs if params.tail else params.hidden
    space = losses.space_of(
        outputs,
        case.teacher.output_activation,
        "cosine" if params.normalise else case.data.metric,
        case.data.classes,
        valued=False,
    )
    return Objective(losses.LOSSES[losses.USUAL[space]](label_weight=0.0))


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

    fit, held = _told(case, inherited, told)
    objective = _objective(case, shared.params)
    return SuperLM(shared, children, fit, held, objective, part, compute, steps=1, seed=seed)
