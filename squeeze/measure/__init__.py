"""Everything that runs or weighs an exported file: sessions, timing, memory, metrics, costs, this machine.

The names are loaded when first used, so that `doctor` works on a machine whose runtime is broken or missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from squeeze.measure.checkup import doctor
    from squeeze.measure.contents import summary
    from squeeze.measure.cpu import host_name, isa, usable_cores
    from squeeze.measure.evaluation import evaluate
    from squeeze.measure.fused import fused_ops
    from squeeze.measure.latency_table import LatencyTable
    from squeeze.measure.layer_table import layers
    from squeeze.measure.memory import Memory, peak_memory
    from squeeze.measure.metrics import (
        METRICS,
        Metric,
        default_metric,
        describe,
        drop,
        resolve,
        score,
    )
    from squeeze.measure.ort import ORT_ERRORS, run, session
    from squeeze.measure.profiling import profile
    from squeeze.measure.record import measurement
    from squeeze.measure.stored import file_bytes
    from squeeze.measure.timing import Latency, Ratio, compared, latency, ratio
    from squeeze.measure.weigh import Cost, cost

_MODULE_OF = {
    "Cost": "weigh",
    "Latency": "timing",
    "LatencyTable": "latency_table",
    "METRICS": "metrics",
    "Memory": "memory",
    "Metric": "metrics",
    "ORT_ERRORS": "ort",
    "Ratio": "timing",
    "compared": "timing",
    "cost": "weigh",
    "default_metric": "metrics",
    "describe": "metrics",
    "doctor": "checkup",
    "drop": "metrics",
    "evaluate": "evaluation",
    "file_bytes": "stored",
    "fused_ops": "fused",
    "host_name": "cpu",
    "isa": "cpu",
    "latency": "timing",
    "layers": "layer_table",
    "measurement": "record",
    "peak_memory": "memory",
    "profile": "profiling",
    "ratio": "timing",
    "resolve": "metrics",
    "run": "ort",
    "score": "metrics",
    "session": "ort",
    "summary": "contents",
    "usable_cores": "cpu",
}

__all__ = [
    "METRICS",
    "ORT_ERRORS",
    "Cost",
    "Latency",
    "LatencyTable",
    "Memory",
    "Metric",
    "Ratio",
    "compared",
    "cost",
    "default_metric",
    "describe",
    "doctor",
    "drop",
    "evaluate",
    "file_bytes",
    "fused_ops",
    "host_name",
    "isa",
    "latency",
    "layers",
    "measurement",
    "peak_memory",
    "profile",
    "ratio",
    "resolve",
    "run",
    "score",
    "session",
    "summary",
    "usable_cores",
]


def __getattr__(name: str) -> Any:  # Any: functions, classes and tables
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
