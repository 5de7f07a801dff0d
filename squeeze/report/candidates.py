"""The table of the finished candidates: each was exported and measured, and one of them is shipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import judged, words
from squeeze.report.provenance import latency_name

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class CandidateRow:
    """A line of the table; `why` it was not shipped, where that is more than that another one is better."""

    name: str
    picked: bool
    metric: str
    interval: str
    latency: str
    file: str
    memory: str
    why: str


@dataclass(frozen=True)
class Columns:
    """What the columns hold; empty for a column of which nothing is known. `output`: where there are several."""

    metric: str
    output: str
    latency: str
    memory: str


def rows(manifest: Json) -> list[CandidateRow]:
    """The finished candidates; the shipped one is marked."""
    name, picked = judged.metric_name(manifest), judged.picked(manifest)
    reasons = manifest.get("why_not") or {}
    return [
        CandidateRow(
            name=candidate,
            picked=candidate == picked,
            metric=words.metric(name, judged.value(manifest, m)),
            interval=words.interval(name, judged.interval(manifest, m)),
            latency=words.latency(m.get("latency_p50_ms")),
            file=words.byte_size(m.get("file_bytes")),
            memory=words.byte_size(m.get("peak_ram_bytes")),
            why=_reason(str(reasons.get(candidate, "")), picked),
        )
        for candidate, m in judged.measured(manifest).items()
    ]


def columns(manifest: Json) -> Columns:
    """The shipped one's metric, of which output, and a latency and a memory if known."""
    several = len(manifest.get("outputs") or []) > 1
    return Columns(
        metric=words.metric_name(judged.metric_name(manifest)) or "metric",
        output=judged.output(manifest) if several else "",
        latency=latency_name(manifest) if _known(manifest, "latency_p50_ms") else "",
        memory="peak memory" if _known(manifest, "peak_ram_bytes") else "",
    )


def _reason(why_not: str, picked: str) -> str:
    # That the shipped one is the best of those inside the goal is said once, above the table.
    return "" if why_not.startswith(f"'{picked}' is the ") else why_not


def _known(manifest: Json, key: str) -> bool:
    return any(m.get(key) is not None for m in judged.measured(manifest).values())
