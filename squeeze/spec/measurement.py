"""What we got: an architecture, and what one exported file did on one runtime."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from squeeze.spec.frozen import Frozen


class ArchSpec(Frozen):
    """A student: family and its parameters. JSON round-trips; `students.build` makes the module again."""

    family: str
    params: dict[str, Any] = Field(
        default_factory=dict
    )  # Any: each family has parameters of its own


class OutputScore(Frozen):
    """One metric of one output on the evaluation split: its value and its 95 % interval, in the metric's unit."""

    model_config = ConfigDict(allow_inf_nan=True)  # what a broken network scores is told as it is

    output: str
    metric: str
    value: float
    interval: tuple[float, float] | None = None


class Measurement(Frozen):
    """What one exported file did on one runtime. Never edited. `source` says how the numbers came to be.

    metric: of the output that is judged, on `n` samples of the evaluation split; `interval`: its 95 % interval.
    outputs: the same of every output that has a metric.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    source: Literal["measured", "cycles", "static", "emulated", "estimate"] = "measured"
    metric: float
    metric_name: str
    n: int
    interval: tuple[float, float] | None = None
    outputs: tuple[OutputScore, ...] = ()
    latency_p50_ms: float | None
    latency_p90_ms: float | None
    latency_p99_ms: float | None
    runs: int
    threads: int
    peak_ram_bytes: int | None = None
    file_bytes: int
    weight_bytes: int
    params: int
    macs: int
    host: str
    isa: tuple[str, ...]
    runtime: str
    runtime_version: str
