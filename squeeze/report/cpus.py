"""The CPUs that the shipped file was checked for: its metric on each, how that is known, and the layers at risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words

Json = dict[str, Any]  # Any: JSON

_MEANS = {
    "measured": "run here, on a CPU of this kind",
    "proven equal": "no sum of two products can overflow, so the outputs are those measured",
    "emulated": "run here on a graph that computes what such a CPU computes",
    "not checked": "nothing is known of this CPU",
}


@dataclass(frozen=True)
class Cpu:
    """A line of the table."""

    name: str
    source: str
    metric: str
    changed: str


@dataclass(frozen=True)
class Checked:
    """All CPUs; `means` explains how it is known; `at_risk` are layers whose sums can leave 16 bits."""

    metric: str
    cpus: list[Cpu]
    means: list[tuple[str, str]]
    has_changed: bool
    at_risk: list[str]


def checked(manifest: Json) -> Checked | None:
    """None for a float file, or when nothing was checked."""
    found = manifest.get("cpus") or {}
    rows = found.get("cpus") or []
    if not rows:
        return None
    student = (manifest.get("measurements") or {}).get("student") or {}
    # Of the output that the numbers below are of; manifests of older versions do not say it.
    told = (row["metric_name"] for row in rows if row.get("metric_name"))
    metric = str(next(told, None) or student.get("metric_name") or "")
    sources = dict.fromkeys(str(row.get("source", "")) for row in rows)
    return Checked(
        metric=words.metric_name(metric) or "metric",
        cpus=[_cpu(row, metric) for row in rows],
        means=[(source, _MEANS[source]) for source in sources if source in _MEANS],
        has_changed=any(row.get("changed_top1") is not None for row in rows),
        at_risk=[_risk(layer) for layer in found.get("layers") or []],
    )


def _cpu(row: Json, metric: str) -> Cpu:
    changed = row.get("changed_top1")
    return Cpu(
        name=str(row.get("cpu", "")),
        source=str(row.get("source", "")),
        metric=words.metric(metric, row.get("metric")),
        changed=(
            words.MISSING
            if changed is None
            else f"{changed:,} of {words.plain(row.get('samples'))}"
        ),
    )


def _risk(layer: Json) -> str:
    channels = (
        f"{words.plain(layer.get('channels_at_risk'))} of {words.plain(layer.get('channels'))}"
    )
    return f"{layer.get('name', '')} ({channels} channels)"
