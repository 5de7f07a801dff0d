"""For the manifest: what an int8 file scores on x86 CPUs with and without VNNI, and how we know.

measured       run here, on a CPU of that kind
proven equal   no two products can saturate, so the outputs are those that were measured
emulated       run here on a graph that computes what such a CPU computes (`squeeze.old_x86.emulation`)
not checked    only where this CPU is no x86 and products can saturate

This concerns ONNX Runtime's own kernels and the function bodies of our ops; our library is exact on every CPU.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import graph, measure
from squeeze.old_x86.at_risk import at_risk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.feed import Array
    from squeeze.measure import Evaluated

Json = dict[str, Any]  # Any: JSON

WITH_VNNI, WITHOUT_VNNI, ARM = "x86 with VNNI", "x86 without VNNI", "arm64"


def check(
    model: Path,
    case: Case,
    known: Evaluated,
    *,
    judged: int,
    isa: Sequence[str],
    threads: int = 1,
) -> Json:
    """What the int8 file `model` scores on the evaluate split for each kind of CPU, and the layers that can saturate.

    known: what `measure.evaluate` gave for `model` on this machine, whose instruction sets are `isa`; judged: which of
    its scores stands for all. Returns `cpus`, each with cpu and source, and where outputs are known with samples,
    `scores` (one a reading: output, metric, value, and between classes changed_top1: samples whose class is not the
    measured one) and of the judged one its `output`, the name `metric_name`, the value `metric` and changed_top1; and
    `layers`, with name, channels, channels_at_risk and pairs_at_risk. Raises what `measure.evaluate` and
    `squeeze.old_x86.emulation.emulated` raise.
    """
    from squeeze.old_x86.emulation import emulated, saturates

    if not any(name.startswith("x86") for name in isa):
        risks = at_risk(graph.load(model))
        cpus = [_row(ARM, "measured", known, known, judged)]
        for cpu in (WITH_VNNI, WITHOUT_VNNI):
            proven = _row(cpu, "proven equal", known, known, judged)
            cpus.append({"cpu": cpu, "source": "not checked"} if risks else proven)
        return {"cpus": cpus, "layers": [risk.to_json() for risk in risks]}

    here, there = (WITHOUT_VNNI, WITH_VNNI) if saturates() else (WITH_VNNI, WITHOUT_VNNI)
    found = emulated(model, saturate=here == WITH_VNNI)
    source, other = "proven equal", known
    if found.layers:
        source, other = "emulated", _evaluated(found.model, case, threads)
    return {
        "cpus": [
            _row(here, "measured", known, known, judged),
            _row(there, source, other, known, judged),
        ],
        "layers": [asdict(layer) for layer in found.layers],
    }


def _evaluated(model: bytes, case: Case, threads: int) -> Evaluated:
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        path = Path(folder) / "emulated.onnx"
        path.write_bytes(model)
        return measure.evaluate(
            path,
            case.data,
            case.data.evaluate,
            case.readings,
            interface=case.interface,
            reference=case.reference("evaluate"),
            threads=threads,
        )


def _row(cpu: str, source: str, found: Evaluated, measured: Evaluated, judged: int) -> Json:
    scores: list[Json] = []
    for score in found.scores:
        outputs = found.outputs[score.output]
        row: Json = {"output": score.output, "metric": score.metric, "value": score.value}
        if (changed := _changed(outputs, measured.outputs[score.output])) is not None:
            row["changed_top1"] = changed
        scores.append(row)
    one = scores[judged]
    row = {
        "cpu": cpu,
        "source": source,
        "output": one["output"],
        "metric_name": one["metric"],
        "metric": one["value"],
        "scores": scores,
        "samples": len(found.outputs[one["output"]]),
    }
    if "changed_top1" in one:
        row["changed_top1"] = one["changed_top1"]
    return row


def _changed(outputs: Array, measured: Array) -> int | None:
    """How many samples have another class; None for what scores no classes."""
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return None
    return int((np.argmax(outputs, axis=1) != np.argmax(measured, axis=1)).sum())
