"""How fast a file is, how much memory it takes, how well it does: timing, profiles, tables."""

from __future__ import annotations

from squeeze.measure.comparison import Comparison, compared, comparisons
from squeeze.measure.evaluation import Evaluated, beside, evaluate, outputs_in_batches, scored
from squeeze.measure.latency_table import LatencyTable
from squeeze.measure.layer_table import layers
from squeeze.measure.lengths import lengths_of, padding_of, without_padding
from squeeze.measure.memory import Memory, peak_memory
from squeeze.measure.output_files import OutputFiles, opened
from squeeze.measure.profiling import profile
from squeeze.measure.record import measurement
from squeeze.measure.rounds import Latency
from squeeze.measure.timing import compare, latency, latency_each

__all__ = [
    "Comparison",
    "Evaluated",
    "Latency",
    "LatencyTable",
    "Memory",
    "OutputFiles",
    "beside",
    "compare",
    "compared",
    "comparisons",
    "evaluate",
    "latency",
    "latency_each",
    "layers",
    "lengths_of",
    "measurement",
    "opened",
    "outputs_in_batches",
    "padding_of",
    "peak_memory",
    "profile",
    "scored",
    "without_padding",
]
