"""The int8 form with LSTMs on integers, a candidate beside the one that has their weights in int8 alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.front import Candidate
from squeeze.graph.unread import remove_unread
from squeeze.quant.dynamic_lstm import Gates, float_gates, use_dynamic_lstm
from squeeze.quant.keep import kept
from squeeze.steps.fault import told
from squeeze.steps.lowering import named
from squeeze.steps.samples import calibrate_lost
from squeeze.steps.timing import FASTER, compared
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At, Run
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON

FORM = "int8-dynamic"


def dynamic(
    run: Run, case: Case, device: Device, base: Candidate, int8: Candidate, part: QuantPart
) -> Candidate | None:
    """The int8 form of the float file `base` with its LSTMs on integers, but for those that `part.keep_float` means;
    None where there are none, or where that is not faster. `int8.file` was written by `lowering.put_ops`, which kept
    its names."""
    if not _gates(base.file, part):
        return None
    step = run.step(
        base.net.step("recurrent"),
        build,
        measured_on=device,
        repeated=base.net.origin == "kept",
        base=base,
        int8=int8,
        case=case.blind(),
        part=part,
        threads=run.threads,
    )
    if "digest" not in (found := step.result):
        return None
    return Candidate.of(base.net, FORM, step.path / "dynamic.onnx", found, int8.bits)


def build(
    at: At,
    *,
    device: Device,
    base: Candidate,
    int8: Candidate,
    case: Case,
    part: QuantPart,
    threads: int,
) -> Json:
    """Writes `dynamic.onnx` where that is faster than the file of `int8`."""
    file = at.folder / "dynamic.onnx"
    try:
        model = graph.load(named(int8.file))
        gates = _gates(base.file, part)
        count = use_dynamic_lstm(model, gates, safe=device.numerics.safe_weights)
        remove_unread(model)
        graph.compact(model)
        graph.save(model, file)
        sample = case.data.feed(case.data.calibrate, 0, 1)
        share = compared(device, file, int8.file, sample, case.interface).ratio
        lost = calibrate_lost(case, file, threads=threads)
    except Exception as e:  # the int8 file is there, and stays
        file.unlink(missing_ok=True)
        why = told("LSTM on integers failed", e, at.folder)
        return {"summary": f"failed: {why}"}
    words = f"{count} LSTM on integers: {1 / share:.2f}x the speed of float ones, {lost.drop:+.2f} points lost"
    if share >= FASTER:
        file.unlink()
        return {"summary": f"undone: {words}"}
    return {"summary": words, "digest": digest_file(file), **lost.to_json()}


def _gates(float_file: Path, part: QuantPart) -> dict[str, Gates]:
    model = graph.load(float_file)
    return float_gates(model, kept(model, part.keep_float))
