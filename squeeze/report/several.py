"""The packages of one compile beside each other: what each target got, and whose numbers they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import heading, judged, story, words

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    target: str
    package: str
    shipped: str
    met: bool
    metric: str
    metric_name: str
    latency: str
    memory: str
    file: str
    sentence: str
    digest: str


def row_of_index(manifest: Json) -> Json:
    """What index.json has of a package, beside its folder: plain values, of what is shipped there."""
    shipped = (manifest.get("measurements") or {}).get("student") or {}
    return {
        "target": str((manifest.get("target") or {}).get("name") or ""),
        "sentence": str((manifest.get("verdict") or {}).get("sentence") or ""),
        "teacher": heading.teacher(manifest),
        "date": str(manifest.get("date") or ""),
        "picked": judged.picked(manifest),
        "metric_name": judged.metric_name(manifest),
        "metric": shipped.get("metric"),
        "source": shipped.get("source", "measured"),
        "latency_ms": shipped.get("latency_p50_ms"),
        "peak_ram_bytes": shipped.get("peak_ram_bytes"),
        "file_bytes": shipped.get("file_bytes"),
    }


def rows(packages: list[Json]) -> list[Row]:
    """A line for each package."""
    return [
        Row(
            target=str(p.get("target", "")),
            package=str(p.get("package", "")),
            shipped=str(p.get("picked", "")),
            met=bool(p.get("met")),
            metric=words.metric(str(p.get("metric_name", "")), p.get("metric")),
            metric_name=words.metric_name(str(p.get("metric_name", ""))),
            latency=_latency(p),
            memory=words.byte_size(p.get("peak_ram_bytes")),
            file=words.byte_size(p.get("file_bytes")),
            sentence=story.sentence({"verdict": p}),
            digest=str(p.get("artifact_digest", "")),
        )
        for p in packages
    ]


def _latency(package: Json) -> str:
    """With the class of the number where it is not measured."""
    if package.get("latency_ms") is None:
        return words.MISSING
    source = package.get("source", "measured")
    said = words.latency(package["latency_ms"])
    return said if source == "measured" else f"{said} ({source})"
