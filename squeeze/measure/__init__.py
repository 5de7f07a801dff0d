"""How fast a file is, how much memory it takes, how well it does: timing, profiles, tables."""

from __future__ import annotations

from squeeze.measure.evaluation import evaluate
from squeeze.measure.latency_table import LatencyTable
from squeeze.measure.layer_table import layers
from squeeze.measure.memory import Memory, peak_memory
from squeeze.measure.profiling import profile
from squeeze.measure.record import measurement
from squeeze.measure.timing import Latency, Ratio, compared, latency, ratio

__all__ = [
    "Latency",
    "LatencyTable",
    "Memory",
    "Ratio",
    "compared",
    "evaluate",
    "latency",
    "layers",
    "measurement",
    "peak_memory",
    "profile",
    "ratio",
]
