"""The rungs of fewer bits: what each lost where the ladder decided, and where only the judge looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import judged, words

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Rung:
    """A line of the table; `kept` is None when no goal is known, `picked` when it is the shipped file."""

    name: str
    calibrate: str
    evaluate: str
    file: str
    kept: bool | None
    picked: bool


@dataclass(frozen=True)
class Ladder:
    """The rungs in the order they were climbed, and what their losses count."""

    rungs: list[Rung]
    unit: str


def table(manifest: Json) -> Ladder | None:
    """None without a ladder."""
    measured = judged.measured(manifest)
    teacher = (manifest.get("measurements") or {}).get("teacher") or {}
    name = str(teacher.get("metric_name", ""))
    lost = manifest.get("drops") or {}
    picked = judged.picked(manifest)
    found = [
        Rung(
            name=rung,
            calibrate=words.lost(name, drop),
            evaluate=words.lost(name, (lost.get(rung) or {}).get("evaluate")),
            file=words.byte_size((measured.get(rung) or {}).get("file_bytes")),
            kept=judged.holds(manifest, rung, drop),
            picked=rung == picked,
        )
        for rung, drop in (manifest.get("rungs") or {}).items()
    ]
    unit = "growth of the error" if words.lost_in_percent(name) else "points lost"
    return Ladder(found, unit) if found else None
