"""The form with few bits in its weights alone and all arithmetic in float: a quarter of the bytes at the speed of the
float file.

It is what is left to a model that loses too much with int8 activations, or is not faster with them. Where it was asked
for (`quant.weights_only`) weights of matrix products are in blocks of 8 or 4 bits, which the runtime multiplies as they
are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.account.sizes import is_float
from squeeze.front import Candidate
from squeeze.quant.keep import kept
from squeeze.quant.prepared import store
from squeeze.quant.weight_only import in_blocks
from squeeze.quant.weights.levels import FULL_BITS
from squeeze.steps.fault import told
from squeeze.steps.samples import calibrate_lost, calibration_passes
from squeeze.steps.timing import compared
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At, Run
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON

FORM = "int{bits}-weights"


def form(part: QuantPart) -> str:
    """What it is called."""
    return FORM.format(bits=part.bits if part.weights_only else FULL_BITS)


def is_weights_alone(name: str) -> bool:
    """Whether that is what such a form is called."""
    return name in {FORM.format(bits=bits) for bits in (FULL_BITS, 4)}


def stored(
    run: Run, case: Case, device: Device, base: Candidate, part: QuantPart
) -> Candidate | None:
    """The float file `base` with its weights in few bits, but for those of nodes that `part.keep_float` means; None
    where it has none of some size, or where that fails."""
    step = run.step(
        base.net.step("weights"),
        build,
        measured_on=device,
        repeated=base.net.origin == "kept",
        base=base,
        case=case.blind(),
        part=part,
        seed=run.seed,
        threads=run.threads,
    )
    if "digest" not in (found := step.result):
        return None
    name, bits = form(part), part.bits if part.weights_only else FULL_BITS
    file = step.path / f"{name}.onnx"
    return Candidate.of(base.net, name, file, found, bits, {"asked": part.weights_only})


def build(
    at: At, *, device: Device, base: Candidate, case: Case, part: QuantPart, seed: int, threads: int
) -> Json:
    """Writes the file where there is anything to store."""
    file = at.folder / f"{form(part)}.onnx"
    try:
        model = graph.load(base.file)
        stay = kept(model, part.keep_float)
        if part.weights_only:
            passes = calibration_passes(case, part, seed=seed, threads=threads)
            notes = in_blocks(
                model,
                passes,
                part.samples,
                bits=part.bits,
                float_outputs=stay,
                progress=at.progress,
            )
        else:
            notes = store(model, stay).notes()
        asked = at.folder / "named.onnx"  # a refusal is by the names of nodes, which go below
        graph.save(model, asked)
        graph.compact(model)
        graph.save(model, file)
        if is_float(file):
            file.unlink()
            asked.unlink()
            return {"summary": "no weights of some size", "tried": []}
        sample = case.data.feed(case.data.calibrate, 0, 1)
        taken = compared(
            device, file if device.runtime is None else asked, base.file, sample, case.interface
        )
        asked.unlink()
        lost = calibrate_lost(case, file, threads=threads, progress=at.progress)
    except Exception as e:  # the other forms are there, and stay
        for left in at.folder.glob("*.onnx"):
            left.unlink()
        return {
            "summary": f"failed: {told('weights of few bits failed', e, at.folder)}",
            "tried": [],
        }
    width = f"{part.bits} bits" if part.weights_only else "int8"
    return {
        "summary": f"weights in {width}, arithmetic in float: {lost.drop:+.2f} points lost on the calibrate split, "
        f"{file.stat().st_size / 1000:.1f} KB, {taken.said('the float graph')}",
        "tried": [note.to_json() for note in notes],
        "digest": digest_file(file),
        **lost.to_json(),
    }
