"""Fewer channels: rounds of pruning with distillation between; one that makes nothing cheaper is undone.

Of text encoders heads go, too (`pruning_encoders`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import export, graph, quant
from squeeze.net import FloatNet
from squeeze.quant.rough import quickest
from squeeze.seal import WEIGHTS
from squeeze.spec import ArchSpec
from squeeze.steps.answering import answered, untrainable
from squeeze.steps.lowering import put_ops
from squeeze.steps.planning import after_pruning
from squeeze.steps.planning_graphs import recovery_steps
from squeeze.steps.pruning_encoders import (
    MOVEMENT,
    heads_graph,
    of_text,
    reduce_heads,
    refuse_heads,
)
from squeeze.steps.samples import calibration_passes
from squeeze.steps.timing import compared
from squeeze.steps.training import source
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir
    from torch import nn

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front
    from squeeze.prune import Making, Reduced
    from squeeze.run import At, Run
    from squeeze.spec import DistillPart, PrunePart, QuantPart, Recipe
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "prune"


def pruned(
    run: Run, case: Case, device: Device, net: FloatNet, recipe: Recipe, front: Front
) -> FloatNet | None:
    """`net` with fewer channels or heads; None, with the reason in the log, where not wanted, not possible or no
    cheaper."""
    part = recipe.prune
    if not part.ratio:
        return None
    whole = front.candidates[f"{net.origin}-float"]
    # Before labels are made: they are for nothing where no graph of this kind can be pruned.
    why = untrainable(case) or _refusal(case, whole.file, part.importance)
    if why:
        run.skip(NAME, f"cannot be pruned: {why}")
        return None
    # By movement a round is trained twice: while parts go, and when they are gone.
    times = part.rounds * (2 if part.importance == MOVEMENT else 1)
    steps = recovery_steps(
        run,
        case,
        recipe,
        front,
        whole,
        NAME,
        part.steps,
        "prune.steps",
        ahead=after_pruning(recipe),
        times=times,
        first=net.origin == "kept",
    )
    if steps is None:
        return None
    part = part.model_copy(update={"steps": steps})
    step = run.step(
        NAME,
        prune,
        measured_on=device,
        net=net,
        base=whole,
        case=case.blind(),
        part=part,
        distill=recipe.distill,
        quantising=recipe.quant,
        answers=answered(run, case, recipe.distill),
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )
    if not step.result["kept"]:
        return None
    return FloatNet(
        "pruned",
        step.path / "pruned.onnx",
        step.result["digest"],
        case.interface,
        arch=ArchSpec.model_validate(step.result["arch"]),
        weights=step.path / WEIGHTS,
        story=net.story,
    )


def prune(
    at: At,
    *,
    device: Device,
    net: FloatNet,
    base: Candidate,
    case: Case,
    part: PrunePart,
    distill: DistillPart,
    quantising: QuantPart,
    answers: Step,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes `pruned.onnx` and `weights.safetensors` where a round of pruning made the shipped file faster."""
    from safetensors.numpy import save_file

    from squeeze.prune import Making
    from squeeze.train.quantised.quantise import recover
    from squeeze.train.quantised.settings import Settings
    from squeeze.train.threads import torch_threads

    sample = case.data.feed(case.data.calibrate, 0, 1)
    passes = calibration_passes(case, quantising, seed=seed, threads=threads)

    def ship(model: ir.Model, path: Path) -> None:
        """The file that would be shipped, with rough ranges: what is timed."""
        made = quant.quantize(
            model,
            passes,
            activations=device.numerics.activations,
            part=quickest(quantising),
            reduce_range=device.numerics.safe_weights,
        ).model
        graph.save(made, path)
        put_ops(device, made, path, sample, case.interface, [])

    def trained(model: ir.Model, folder: Path) -> ir.Model:
        return recover(
            model,
            Settings(part.steps, part.lr, distill.batch_size),
            source(distill, case, answers.path, seed),
            compute=compute,
            threads=threads,
            folder=folder,
            progress=at.progress,
        ).model

    opset, heads = device.numerics.opset, of_text(case)
    making = Making(
        heads_graph(case, opset) if heads else _channels_graph(case, opset),
        ship,
        lambda a, b: compared(device, a, b, sample, case.interface).ratio,
        trained,
        at.folder,
        _compared_by(device),
    )
    model = graph.load(base.file)
    if heads:
        found = reduce_heads(
            model,
            case,
            part,
            making,
            lesson=(distill, answers.path),
            compute=compute,
            seed=seed,
            threads=threads,
            progress=at.progress,
        )
    else:
        with torch_threads(threads):
            found = _reduce_channels(model, case, part, making, threads=threads)
    result: Json = {
        "summary": found.why,
        "tried": [note.to_json() for note in found.notes],
        "kept": found.model is not None,
    }
    if found.model is None or found.arch is None:
        return {**result, "status": "skipped"}
    file = at.folder / "pruned.onnx"
    graph.save(found.model, file)
    arrays = {n: np.ascontiguousarray(x) for n, x in found.weights.items()}
    save_file(arrays, at.folder / WEIGHTS)
    return {**result, "digest": digest_file(file), "arch": found.arch.model_dump(mode="json")}


def _refusal(case: Case, base: Path, importance: str) -> str:
    """Why `base` cannot be pruned, in a line; empty where it can."""
    from squeeze.prune import IMPORTANCES, refusal

    if of_text(case):
        return refuse_heads(case, base, importance)
    if len(case.interface.inputs) > 1:
        return "it has more than one input"
    if importance not in IMPORTANCES:
        known = ", ".join(IMPORTANCES)
        return f"prune.importance '{importance}' is of text encoders; for other networks there are {known}"
    example = case.data.feed(case.data.calibrate, 0, 2)
    return refusal(graph.load(base), case.interface, example)


def _reduce_channels(
    model: ir.Model, case: Case, part: PrunePart, making: Making, *, threads: int
) -> Reduced:
    from squeeze.prune import reduce, samples_of

    return reduce(
        model,
        case.interface,
        case.data.feed(case.data.calibrate, 0, 2),
        part,
        making,
        samples=lambda: samples_of(case.data, lambda x: case.teacher.outputs(x, threads).logits),
    )


def _channels_graph(case: Case, opset: int) -> Callable[[nn.Module], ir.Model]:
    """What writes the optimised float graph of a network with fewer channels."""
    example = case.data.feed(case.data.calibrate, 0, 2)
    sample = case.data.feed(case.data.calibrate, 0, 1)

    def to_graph(module: nn.Module) -> ir.Model:
        made = export.to_ir(
            module.eval(),
            example[case.interface.only_input.name],
            input_name=case.interface.only_input.name,
            output_name=case.interface.only_output.name,
            opset=opset,
        )
        graph.optimise(made, sample, case.interface)
        return made

    return to_graph


def _compared_by(device: Device) -> str:
    """What a share of two files is of there."""
    runtime = device.runtime
    timed = runtime is None or runtime.source in ("measured", "estimate")
    return "latency" if timed or runtime is None else f"cost by {runtime.version}"
