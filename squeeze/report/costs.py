"""What a candidate takes, that its metric is drawn over: time and bytes, with the goal's limit of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from squeeze.report import judged, words
from squeeze.report.provenance import latency_name

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class CostAxis:
    """`key`: of a measurement; `limit`: the goal's, None without one."""

    name: str
    key: str
    show: Callable[[float], str]
    limit: float | None


def costs(manifest: Json) -> list[CostAxis]:
    """Latency and file; memory where the goal limits it, or where the device tells no latency to draw."""
    goal = (manifest.get("verdict") or {}).get("goal") or {}
    found = [
        CostAxis(
            latency_name(manifest), "latency_p50_ms", words.latency, goal.get("max_latency_ms")
        ),
        CostAxis("file", "file_bytes", words.byte_size, goal.get("max_bytes")),
        CostAxis("peak memory", "peak_ram_bytes", words.byte_size, goal.get("max_ram_bytes")),
    ]
    timed = any(m.get("latency_p50_ms") for m in judged.measured(manifest).values())
    return [c for c in found if c.name != "peak memory" or c.limit or not timed]
