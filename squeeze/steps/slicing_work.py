"""What the steps of a student do that is a slice of one network made of its convolutional teacher."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.errors import UnsupportedError
from squeeze.note import Note
from squeeze.seal import WEIGHTS
from squeeze.steps.inheriting_work import Kept
from squeeze.steps.searching import share_of
from squeeze.steps.shrinking_work import CHILD, bound_of, seen_of, to_graph
from squeeze.steps.training import source
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from torch import Tensor

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At
    from squeeze.shrink.supernet.slices import Part, Slices
    from squeeze.spec import DistillPart, Goal, QuantPart, SearchPart, ShrinkPart, SupernetPart
    from squeeze.train import Compute
    from squeeze.train.supernet.space import Name
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def inherit_slices(at: At, *, case: Case, threads: int) -> Json:
    """Writes the teacher's own weights, sorted by what matters, normalisation put back; or says why there are none."""
    from safetensors.torch import save_file

    from squeeze.shrink import network_to_shrink
    from squeeze.shrink.supernet.normalised import normalised
    from squeeze.shrink.supernet.sorting import sort
    from squeeze.train.threads import torch_threads

    model = graph.load(case.net.file)
    graph.optimise(model, case.data.feed(case.data.calibrate, 0, 1), case.interface)
    with torch_threads(threads):
        try:
            example = case.data.feed(case.data.calibrate, 0, 2)
            plain = network_to_shrink(model, case.interface, example)
            seen = seen_of(case, threads)
            network = normalised(model, lambda: (batch.x for batch in seen.fit))
            found = sort(plain, network, seen.held.x[:2])
        except UnsupportedError as e:
            return {"summary": str(e), "status": "skipped"}
    save_file(found.weights, at.folder / WEIGHTS)
    known = found.sliceable
    count = sum(map(len, known.stages))
    notes = [Note(name, False, f"stays whole: {why}") for name, why in found.left]
    return {
        "summary": f"{len(known.groups)} groups of channels and {count} blocks may go",
        "slices": known.model_dump(mode="json"),
        "tried": [note.to_json() for note in notes],
    }


def train_slices(
    at: At,
    *,
    case: Case,
    inherited: Kept,
    space: Name,
    part: SupernetPart,
    shrink: ShrinkPart,
    distill: DistillPart,
    answers: Step,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of the network of which all parts of the space `space` are slices."""
    from safetensors.torch import save_file

    from squeeze.shrink.supernet.space import parts
    from squeeze.shrink.supernet.train import train_slices as train
    from squeeze.train.quantised.settings import Settings

    slices = slices_of(inherited)
    among = parts(space, slices)
    found = train(
        slices,
        _weights(inherited),
        among,
        Settings(part.steps, shrink.lr, distill.batch_size),
        source(distill, case, answers.path, seed),
        between=part.between,
        identity=f"{case.key()} {inherited.key()}",
        compute=compute,
        threads=threads,
        folder=at.folder,
        progress=at.progress,
    )
    save_file(found.weights, at.folder / WEIGHTS)
    summary = f"{found.summary} of {len(among)} parts, space '{space}'"
    return {"summary": summary, "history": found.history}


def score_slices(
    at: At,
    *,
    case: Case,
    inherited: Kept,
    trained: Kept,
    parts: tuple[Part, ...],
    threads: int,
) -> Json:
    """The loss of every one of `parts`, cut out of `trained`, on samples of the calibrate split."""
    from squeeze.shrink.supernet.choice import score
    from squeeze.train.threads import torch_threads

    with torch_threads(threads):
        seen = seen_of(case, threads)
        scored = score(slices_of(inherited), _weights(trained), parts, seen, at.progress)
    losses = [one.loss for one in scored]
    return {
        "summary": f"loss {min(losses):.3f} to {max(losses):.3f} of {len(scored)} parts",
        "parts": [one.to_json() for one in scored],
    }


def pick_slice(
    at: At,
    *,
    device: Device,
    case: Case,
    inherited: Kept,
    spaces: dict[str, tuple[Kept, Kept]],
    part: SearchPart,
    quantising: QuantPart,
    goal: Goal,
    threads: int,
) -> Json:
    """Writes `child.onnx`, the part that loses least inside the bounds, not trained alone, where there is one.

    spaces: of each the weights of its network and the losses of its parts.
    """
    from squeeze.shrink.supernet.choice import Scored, settled
    from squeeze.shrink.supernet.pick import pick
    from squeeze.train.threads import torch_threads

    slices = slices_of(inherited)
    weights = {name: _weights(trained) for name, (trained, _) in spaces.items()}
    rows = [
        (name, Scored.from_json(row))
        for name, (_, scored) in spaces.items()
        for row in scored.result["parts"]
    ]
    with torch_threads(threads), tempfile.TemporaryDirectory() as scratch:
        seen = seen_of(case, threads)

        def made(space: str, one: Scored) -> Any:  # Any: a graph, whose type stays out of here
            child = settled(slices, weights[space], one.part, seen)
            return to_graph(child, case, device.numerics.opset)

        def measure(space: str, one: Scored) -> float:
            return share_of(device, case, quantising, made(space, one), Path(scratch), goal)

        found = pick(
            rows, bound_of(device, case, part, goal), measured=part.measured, measure=measure
        )
        result: Json = {
            "summary": found.why,
            "tried": [note.to_json() for note in found.notes],
        }
        if found.scored is None:
            return {**result, "status": "skipped"}
        file = at.folder / CHILD
        graph.save(made(found.space, found.scored), file)
    return {**result, "digest": digest_file(file), "part": found.scored.to_json()}


def slices_of(inherited: Kept) -> Slices:
    """The parts that there are."""
    from squeeze.shrink.supernet.slices import Sliceable, Slices

    return Slices(Sliceable.model_validate(inherited.result["slices"]))


def _weights(kept: Kept) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(kept.path / WEIGHTS)
