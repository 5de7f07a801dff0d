"""One exported file on this machine: all that was found, in the frozen `spec.Measurement`."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.account.weigh import cost
from squeeze.machine.cpu import host_name, isa
from squeeze.measure.memory import can_measure, peak_memory
from squeeze.spec import Measurement

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from squeeze.measure.timing import Latency

logger = logging.getLogger(__name__)


def measurement(
    model: Path,
    sample: npt.NDArray[np.generic],  # [1, ...]
    metric: str,
    value: float,
    n: int,
    latency: Latency,
) -> Measurement:
    """Puts accuracy (`value` of `metric` on `n` samples) and `latency` beside memory, bytes and MACs of `model`.

    `latency` is of the interleaved comparison that the model was in; memory is measured here, in a child process
    with as many threads. Raises MeasureError when the model does not run there.
    """
    peak_ram_bytes = None
    if can_measure():
        peak_ram_bytes = peak_memory(
            model, threads=latency.threads, shapes=[(1, *sample.shape[1:])]
        ).peak_bytes
    else:
        logger.warning("peak memory is not measured: this system has no /proc")
    weight = cost(model, (1, *sample.shape[1:]))
    for missing in weight.unknown:
        logger.warning("%s: multiply-accumulates: %s", model.name, missing)
    return Measurement(
        source="measured",
        metric=value,
        metric_name=metric,
        n=n,
        latency_p50_ms=latency.p50_ms,
        latency_p90_ms=latency.p90_ms,
        latency_p99_ms=latency.p99_ms,
        runs=latency.runs,
        threads=latency.threads,
        peak_ram_bytes=peak_ram_bytes,
        file_bytes=weight.file_bytes,
        weight_bytes=weight.weight_bytes,
        params=weight.params,
        macs=weight.macs,
        host=host_name(),
        isa=isa(),
        runtime="onnxruntime",
        runtime_version=version("onnxruntime"),
    )
