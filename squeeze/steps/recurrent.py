"""The int8 form with LSTMs on integers, a candidate beside the one that has their weights in int8 alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.front import Candidate
from squeeze.graph.unread import remove_unread
from squeeze.quant.dynamic_lstm import float_gates, use_dynamic_lstm
from squeeze.steps.lowering import named
from squeeze.steps.samples import calibrate_drop
from squeeze.steps.timing import FASTER, compared
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.run import At, Run

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON

FORM = "int8-dynamic"
_STEPS = {"kept": "recurrent", "student": "recurrent-student", "pruned": "recurrent-pruned"}


def dynamic(
    run: Run, case: Case, device: Device, base: Candidate, int8: Candidate
) -> Candidate | None:
    """The int8 form of the float file `base` with its LSTMs on integers; None where there are none, or where that is
    not faster. `int8.file` was written by `lowering.put_ops`, which kept its names."""
    if not float_gates(graph.load(base.file)):
        return None
    step = run.step(
        _STEPS[base.net.origin],
        build,
        measured_on=device,
        base=base,
        int8=int8,
        case=case.blind(),
        threads=run.threads,
    )
    if "digest" not in (found := step.result):
        return None
    file = step.path / "dynamic.onnx"
    return Candidate(base.net, FORM, file, found["digest"], found["drop"], int8.bits)


def build(
    at: At, *, device: Device, base: Candidate, int8: Candidate, case: Case, threads: int
) -> Json:
    """Writes `dynamic.onnx` where that is faster than the file of `int8`."""
    file = at.folder / "dynamic.onnx"
    try:
        model = graph.load(named(int8.file))
        gates = float_gates(graph.load(base.file))
        count = use_dynamic_lstm(model, gates, safe=device.numerics.safe_weights)
        remove_unread(model)
        graph.compact(model)
        graph.save(model, file)
        sample = case.data.feed(case.data.calibrate, 0, 1)
        share = compared(device, file, int8.file, sample, case.interface).ratio
        drop = calibrate_drop(case, file, threads=threads)
    except Exception as e:  # the int8 file is there, and stays
        file.unlink(missing_ok=True)
        why = f"{type(e).__name__}: {e}".splitlines()[0].replace(f"{at.folder}/", "")
        logger.warning("LSTM on integers failed: %s; please report this line", why)
        logger.debug("the traceback", exc_info=True)
        return {"summary": f"failed: {why}"}
    words = f"{count} LSTM on integers: {1 / share:.2f}x the speed of float ones, {drop:+.2f} points lost"
    if share >= FASTER:
        file.unlink()
        return {"summary": f"undone: {words}"}
    return {"summary": words, "digest": digest_file(file), "drop": drop}
