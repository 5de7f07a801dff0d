"""A student that is its teacher made smaller: fewer blocks, fewer channels, the teacher's weights to begin with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import export, graph, losses, students
from squeeze.export.ends import retype_ends
from squeeze.net import FloatNet
from squeeze.outputs import Outputs
from squeeze.search import estimate
from squeeze.search.bounds import bounds_of
from squeeze.spec import ArchSpec, Goal
from squeeze.steps.answering import answered, untrainable
from squeeze.steps.searching import share_of, teacher_latency_ms, wished
from squeeze.steps.training import source
from squeeze.students import network
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.calib import Split
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front
    from squeeze.run import At, Run
    from squeeze.shrink import Seen
    from squeeze.spec import DistillPart, Objective, QuantPart, Recipe, SearchPart, ShrinkPart
    from squeeze.students import Network
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "shrink"
_SAMPLES, _BATCH = 256, 64  # of each split
_FILE, _CHILD = "shrunk.onnx", "child.onnx"


def shrunk(run: Run, case: Case, device: Device, recipe: Recipe, front: Front) -> FloatNet | None:
    """The trained child of the teacher that fits `device`; None, with the reason in the log, where there is none, or
    where the recipe leaves the choice and it begins too far from the teacher."""
    from squeeze.shrink import refusal

    base = front.candidates["kept-float"]
    several = len(case.interface.inputs) > 1
    why = "it has more than one input" if several else untrainable(case)
    example = case.data.feed(case.data.calibrate, 0, 2)
    why = why or refusal(graph.load(base.file), case.interface, example)
    if why:
        run.skip(NAME, f"the teacher cannot be made smaller: {why}")
        return None
    goal, most = recipe.goal, recipe.goal.max_bytes
    found = run.step(
        NAME,
        shrink,
        measured_on=device,
        base=base,
        case=case.blind(),
        part=wished(recipe.search, device),
        quantising=recipe.quant,
        objective=goal.objective,
        max_latency_ms=goal.max_latency_ms,
        max_bytes=None if most is None else max(1, most - front.beside_bytes),
        max_ram_bytes=goal.max_ram_bytes,
        max_flash_bytes=goal.max_flash_bytes,
        seed=run.seed,
        threads=run.threads,
    )
    if "digest" not in found.result:
        return None
    far = found.result["far"]
    if recipe.search.start == "auto" and far > recipe.shrink.farthest:
        run.skip(
            "distill-shrunk",
            f"untrained, the smaller teacher is {far:.0%} as far from the teacher as one constant answer (more than "
            f"{recipe.shrink.farthest:.0%}): a student that begins anew is trained",
        )
        return None
    trained = _trained(run, case, recipe, found)
    return FloatNet(
        "shrunk",
        trained.path / _FILE,
        trained.result["digest"],
        case.interface,
        arch=ArchSpec.model_validate(trained.result["arch"]),
        weights=trained.path / "weights.safetensors",
        story={"steps": recipe.shrink.steps},
    )


def shrink(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: SearchPart,
    quantising: QuantPart,
    objective: Objective,
    max_latency_ms: float | None,
    max_bytes: int | None,
    max_ram_bytes: int | None,
    max_flash_bytes: int | None,
    seed: int,
    threads: int,
) -> Json:
    """Writes `child.onnx`, the untrained child that is worth its training, where there is one."""
    from squeeze.shrink import Bound, Children, choose, network_to_shrink
    from squeeze.train.threads import torch_threads

    goal = Goal(
        objective=objective,
        max_latency_ms=max_latency_ms,
        max_bytes=max_bytes,
        max_ram_bytes=max_ram_bytes,
        max_flash_bytes=max_flash_bytes,
    )
    whole_ms = teacher_latency_ms(device, case)
    bounds = bounds_of(case.teacher, part, goal, whole_ms)
    example = case.data.feed(case.data.calibrate, 0, 2)
    with torch_threads(threads), tempfile.TemporaryDirectory() as scratch:
        whole = network_to_shrink(graph.load(base.file), case.interface, example)
        children = Children(whole, seen_of(case, threads), device.target.numerics.width_alignment)

        def measure(child: Network) -> float:
            model = to_graph(child, case, device.numerics.opset)
            return share_of(device, case, quantising, model, Path(scratch), goal)

        found = choose(
            children,
            Bound(
                bounds.latency_ratio,
                bounds.demanded,
                bounds.bytes,
                estimate.machine_factor(case.teacher, whole_ms) / whole_ms,
            ),
            measured=part.measured,
            measure=measure,
            progress=at.progress,
        )
        result: Json = {
            "summary": found.why,
            "tried": [note.to_json() for note in found.notes()],
        }
        if found.child is None:
            return {**result, "status": "skipped"}
        file = at.folder / _CHILD
        graph.save(to_graph(found.child.network, case, device.numerics.opset), file)
        far = found.child.loss / children.farthest
    return {**result, "digest": digest_file(file), "far": far}


def _trained(run: Run, case: Case, recipe: Recipe, found: Step) -> Step:
    """The step with the trained child. Its key has no device: devices that pick one child share its training."""
    return run.step(
        "distill-shrunk",
        train_child,
        child=FloatNet("shrunk", found.path / _CHILD, found.result["digest"], case.interface),
        case=case.blind(),
        part=recipe.shrink,
        distill=recipe.distill,
        answers=answered(run, case, recipe.distill),
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )


def train_child(
    at: At,
    *,
    child: FloatNet,
    case: Case,
    part: ShrinkPart,
    distill: DistillPart,
    answers: Step,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes `shrunk.onnx` and `weights.safetensors`: the child, distilled for `part.steps` steps."""
    from safetensors.torch import save_file

    from squeeze.students.imported import imported
    from squeeze.train.quantised.quantise import recover
    from squeeze.train.quantised.settings import Settings

    model = graph.load(child.file)
    if part.steps:
        model = recover(
            model,
            Settings(part.steps, part.lr, distill.batch_size),
            source(distill, case, answers.path, seed),
            compute=compute,
            threads=threads,
            folder=at.folder,
            progress=at.progress,
            lr_key="shrink.lr",
        )
    graph.save(model, at.folder / _FILE)
    made = imported(model)
    save_file(
        {n: x.contiguous() for n, x in made.state_dict().items()}, at.folder / "weights.safetensors"
    )
    arch = ArchSpec(family=network.FAMILY, params=made.description())
    return {
        "summary": f"{part.steps:,} steps",
        "digest": digest_file(at.folder / _FILE),
        "arch": arch.model_dump(mode="json"),
    }


def seen_of(case: Case, threads: int) -> Seen:
    """Samples of the fit split that weights are refitted on, and of the calibrate split that children are judged by."""
    import torch

    from squeeze.prune import Samples
    from squeeze.shrink import Seen
    from squeeze.train.batches import inputs
    from squeeze.train.compute import HOST

    data, name = case.data, case.interface.only_input.name

    def samples(split: Split, start: int, end: int) -> Samples:
        # From all over the split, whose order may mean something.
        chosen = np.linspace(0, len(split) - 1, min(_SAMPLES, len(split))).astype(np.int64)
        x = data.take(split, chosen[start:end])[name]
        logits = case.teacher.outputs(x, threads).logits
        return Samples(inputs(x, HOST), None, torch.from_numpy(logits))

    count = min(_SAMPLES, len(data.fit))
    space = losses.space_of(
        case.teacher.output.shape[0],
        case.teacher.output_activation,
        data.metric or case.readings[0].metric,
        data.classes,
        valued=data.classes is None and data.fit.y is not None,
    )
    loss = losses.LOSSES[losses.USUAL[space]](label_weight=0.0)
    return Seen(
        [samples(data.fit, start, start + _BATCH) for start in range(0, count, _BATCH)],
        samples(data.calibrate, 0, _SAMPLES),
        lambda logits, wanted: loss(Outputs(logits), Outputs(wanted), None),
    )


def to_graph(child: Network, case: Case, opset: int) -> ir.Model:
    """The optimised float graph of a child, with the teacher's ends."""
    ends = case.interface
    sample = case.data.feed(case.data.calibrate, 0, 2)
    model = export.to_ir(
        students.deployed(child.eval(), case.teacher.output_activation),
        sample[ends.only_input.name].astype("float32", copy=False),
        input_name=ends.only_input.name,
        output_name=ends.only_output.name,
        opset=opset,
    )
    retype_ends(model, case.teacher.interface)
    graph.optimise(model, case.data.feed(case.data.calibrate, 0, 1), ends)
    return model
