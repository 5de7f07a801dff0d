"""The form with weights in int8 and all arithmetic in float: a quarter of the bytes at the speed of the float file.

It is what is left to a model that loses too much with int8 activations, or is not faster with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.account.sizes import is_float
from squeeze.front import Candidate
from squeeze.quant.keep import kept
from squeeze.quant.prepared import store
from squeeze.steps.fault import told
from squeeze.steps.samples import calibrate_drop
from squeeze.steps.timing import compared
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At, Run
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON

FORM = "int8-weights"


def stored(
    run: Run, case: Case, device: Device, base: Candidate, part: QuantPart
) -> Candidate | None:
    """The float file `base` with its weights in int8, but for those of nodes that `part.keep_float` means; None where
    it has none of some size, or where that fails."""
    step = run.step(
        base.net.step("weights"),
        build,
        measured_on=device,
        base=base,
        case=case.blind(),
        part=part,
        threads=run.threads,
    )
    if "digest" not in (found := step.result):
        return None
    return Candidate(base.net, FORM, step.path / f"{FORM}.onnx", found["digest"], found["drop"], 8)


def build(
    at: At, *, device: Device, base: Candidate, case: Case, part: QuantPart, threads: int
) -> Json:
    """Writes `int8-weights.onnx` where there is anything to store."""
    file = at.folder / f"{FORM}.onnx"
    try:
        model = graph.load(base.file)
        found = store(model, kept(model, part.keep_float))
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
        drop = calibrate_drop(case, file, threads=threads, progress=at.progress)
    except Exception as e:  # the other forms are there, and stay
        for left in at.folder.glob("*.onnx"):
            left.unlink()
        return {"summary": f"failed: {told('weights in int8 failed', e, at.folder)}", "tried": []}
    return {
        "summary": f"weights in int8, arithmetic in float: {drop:+.2f} points lost on the calibrate split, "
        f"{file.stat().st_size / 1000:.1f} KB, {taken.said('the float graph')}",
        "tried": [note.to_json() for note in found.notes()],
        "digest": digest_file(file),
        "drop": drop,
    }
