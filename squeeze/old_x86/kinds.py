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

from squeeze import graph, machine, measure
from squeeze.old_x86.at_risk import at_risk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.calib import Calib

Json = dict[str, Any]  # Any: JSON
Evaluated = tuple[float, "NDArray[np.generic]"]

WITH_VNNI, WITHOUT_VNNI, ARM = "x86 with VNNI", "x86 without VNNI", "arm64"


def check(
    model: Path,
    calib: Calib,
    metric: str,
    *,
    reference: NDArray[np.generic] | None = None,
    known: Evaluated | None = None,
    threads: int = 1,
) -> Json:
    """The metric of the int8 file `model` on `calib.evaluate` for each kind of CPU, and the layers that can saturate.

    known: what `measure.evaluate` gave for `model`, so that it is not run twice; reference: the teacher's outputs, as
    there. Returns `cpus`, each with cpu, source, and where it has a value metric, samples and, between classes,
    changed_top1 (samples whose class is not the measured one); and `layers`, with name, channels, channels_at_risk and
    pairs_at_risk. Raises what `measure.evaluate` and `measure.emulation.emulated` raise.
    """
    from squeeze.old_x86.emulation import emulated, saturates

    value, outputs = known or measure.evaluate(
        model, calib, metric, reference=reference, threads=threads
    )
    if not any(isa.startswith("x86") for isa in machine.isa()):
        risks = at_risk(graph.load(model))
        cpus = [_row(ARM, "measured", value, outputs, outputs)]
        for cpu in (WITH_VNNI, WITHOUT_VNNI):
            proven = _row(cpu, "proven equal", value, outputs, outputs)
            cpus.append({"cpu": cpu, "source": "not checked"} if risks else proven)
        return {"cpus": cpus, "layers": [risk.to_json() for risk in risks]}

    here, there = (WITHOUT_VNNI, WITH_VNNI) if saturates() else (WITH_VNNI, WITHOUT_VNNI)
    found = emulated(model, saturate=here == WITH_VNNI)
    source, other = "proven equal", (value, outputs)
    if found.layers:
        source = "emulated"
        with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
            path = Path(folder) / "emulated.onnx"
            path.write_bytes(found.model)
            other = measure.evaluate(path, calib, metric, reference=reference, threads=threads)
    return {
        "cpus": [
            _row(here, "measured", value, outputs, outputs),
            _row(there, source, *other, outputs),
        ],
        "layers": [asdict(layer) for layer in found.layers],
    }


def _row(
    cpu: str,
    source: str,
    value: float,
    outputs: NDArray[np.generic],
    measured: NDArray[np.generic],
) -> Json:
    row: Json = {"cpu": cpu, "source": source, "metric": value, "samples": len(outputs)}
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        changed = np.argmax(outputs, axis=1) != np.argmax(measured, axis=1)
        row["changed_top1"] = int(changed.sum())
    return row
