"""What the steps of a student do that is its teacher made smaller."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import export, graph, losses, students
from squeeze.errors import PassError, UnsupportedError
from squeeze.export.ends import retype_ends
from squeeze.outputs import Outputs
from squeeze.seal import WEIGHTS
from squeeze.search import estimate
from squeeze.search.bounds import bounds_of
from squeeze.spec import ArchSpec
from squeeze.steps.answering import space_of_answers
from squeeze.steps.searching import share_of, teacher_latency_ms
from squeeze.steps.training import source
from squeeze.students import network
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.calib import Split
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.net import FloatNet
    from squeeze.run import At
    from squeeze.shrink import Bound, Child, Seen
    from squeeze.spec import DistillPart, Goal, QuantPart, SearchPart
    from squeeze.students import Network
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

SHRUNK, CHILD, LARGER_CHILD = "shrunk.onnx", "child.onnx", "larger.onnx"
_SAMPLES, _BATCH = 256, 64  # of each split
# Large samples are fewer, for all go through the network at once: so many numbers, and at least so many samples.
_NUMBERS, _LEAST = 1 << 23, 32
# Channels are at least multiples of it, whatever the target says: the vectors of all kernels.
ALIGN = 8


def shrink(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: SearchPart,
    quantising: QuantPart,
    goal: Goal,
    seed: int,
    threads: int,
) -> Json:
    """Writes `child.onnx`, the untrained child that is worth its training, where there is one, and `larger.onnx`, the
    next larger one that is inside the bounds, if any."""
    from squeeze.shrink import Children, choose, network_to_shrink
    from squeeze.train.threads import torch_threads

    example = case.data.feed(case.data.calibrate, 0, 2)
    align = math.lcm(ALIGN, device.target.numerics.width_alignment)
    with torch_threads(threads), tempfile.TemporaryDirectory() as scratch:
        whole = network_to_shrink(graph.load(base.file), case.interface, example)
        children = Children(whole, seen_of(case, threads), align)

        def measure(child: Network) -> float:
            model = to_graph(child, case, device.numerics.opset)
            return share_of(device, case, quantising, model, Path(scratch), goal)

        try:
            found = choose(
                children,
                bound_of(device, case, part, goal),
                measured=part.measured,
                measure=measure,
                progress=at.progress,
            )
        except (PassError, UnsupportedError) as e:
            return {"summary": f"the teacher cannot be made smaller: {e}", "status": "skipped"}
        result: Json = {
            "summary": found.why
            if found.bits == 8
            else f"{found.why}; weights of {found.bits} bits",
            "tried": [note.to_json() for note in found.notes()],
        }
        if found.child is None:
            return {**result, "status": "skipped"}
        result["digest"] = _saved(at.folder / CHILD, found.child, case, device)
        if found.larger is not None:
            result["larger"] = _saved(at.folder / LARGER_CHILD, found.larger, case, device)
        return {**result, "far": found.child.far}


def _saved(file: Path, child: Child, case: Case, device: Device) -> str:
    """Writes the graph of a child; its digest."""
    graph.save(to_graph(child.network, case, device.numerics.opset), file)
    return digest_file(file)


def bound_of(device: Device, case: Case, part: SearchPart, goal: Goal) -> Bound:
    """What a child may cost on the device: of the goal, else of the recipe's speedup."""
    from squeeze.shrink import Bound

    whole_ms = teacher_latency_ms(device, case)
    bounds = bounds_of(case.teacher, part, goal, whole_ms)
    return Bound(
        bounds.latency_ratio,
        bounds.demanded,
        bounds.bytes,
        estimate.machine_factor(case.teacher, whole_ms) / whole_ms,
        bounds.bytes_wished,
        bounds.bits,
        bounds.fewer_bits,
    )


def train_child(
    at: At,
    *,
    child: FloatNet,
    case: Case,
    steps: int,
    lr: float,
    distill: DistillPart,
    answers: Step,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes `shrunk.onnx` and `weights.safetensors`: the child, distilled for so many steps."""
    from safetensors.torch import save_file

    from squeeze.students.imported import imported
    from squeeze.train.quantised.quantise import recover
    from squeeze.train.quantised.settings import Settings

    model, history = graph.load(child.file), list[Json]()
    if steps:
        recovered = recover(
            model,
            Settings(steps, lr, distill.batch_size),
            source(distill, case, answers.path, seed),
            compute=compute,
            threads=threads,
            folder=at.folder,
            progress=at.progress,
            lr_key="shrink.lr",
        )
        model, history = recovered.model, recovered.history
    graph.save(model, at.folder / SHRUNK)
    made = imported(model)
    save_file({n: x.contiguous() for n, x in made.state_dict().items()}, at.folder / WEIGHTS)
    arch = ArchSpec(family=network.FAMILY, params=made.description())
    return {
        "summary": f"{steps:,} steps",
        "digest": digest_file(at.folder / SHRUNK),
        "arch": arch.model_dump(mode="json"),
        "history": history,
    }


def seen_of(case: Case, threads: int) -> Seen:
    """Samples of the fit split that weights are refitted on, and of the calibrate split that children are judged by."""
    import torch

    from squeeze.prune import Samples
    from squeeze.shrink import Seen
    from squeeze.train.batches import inputs
    from squeeze.train.compute import HOST

    data, spec = case.data, case.interface.only_input
    name, most = spec.name, min(_SAMPLES, max(_LEAST, _NUMBERS // math.prod(spec.shape)))

    def samples(split: Split, start: int, end: int) -> Samples:
        # From all over the split, whose order may mean something.
        chosen = np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64)
        x = data.take(split, chosen[start:end])[name]
        logits = case.teacher.outputs(x, threads).logits
        return Samples(inputs(x, HOST), None, torch.from_numpy(logits))

    count = min(most, len(data.fit))
    space = space_of_answers(case)
    loss = losses.LOSSES[losses.USUAL[space]](label_weight=0.0)
    return Seen(
        [samples(data.fit, start, start + _BATCH) for start in range(0, count, _BATCH)],
        samples(data.calibrate, 0, most),
        lambda logits, wanted: loss(Outputs(logits), Outputs(wanted), None),
        space,
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
