"""The rung of equalised channels: int8 of a float graph that computes the same and minds one scale a tensor less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph, quant
from squeeze.quant.repair.equalise import equalise
from squeeze.steps.rung_work import finished
from squeeze.steps.samples import calibration_passes
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON
FLOAT = "equalised.onnx"


def equalise_channels(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
) -> Json:
    """Writes `rung.onnx`, and the float graph that it is made of, which later rungs may start from. Without a `drop` in
    the result where the channels are alike."""
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    at.progress.update(0, 0, "equalising channels")
    model, count = equalise(graph.load(base.file), passes, part.samples, functions=True)
    if not count:
        return {"summary": "no channels to equalise in front of depthwise ones", "tried": []}
    graph.save(model, at.folder / FLOAT)
    found = quant.quantize(
        model,
        passes,
        activations=device.numerics.activations,
        part=part,
        progress=at.progress,
        reduce_range=device.numerics.safe_weights,
    )
    how = f"channels behind {count} convolutions equalised"
    result = finished(at, device, base, case, found.model, {}, how, list(found.notes), threads)
    return {**result, "float_digest": digest_file(at.folder / FLOAT)}
