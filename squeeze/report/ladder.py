"""The rungs of fewer bits: what each lost where the ladder decided, and where only the judge looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.goal import DROP_RESOLUTION
from squeeze.report import words

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
    measured = (manifest.get("measurements") or {}).get("candidates") or {}
    teacher = (manifest.get("measurements") or {}).get("teacher") or {}
    name = str(teacher.get("metric_name", ""))
    lost = manifest.get("drops") or {}
    picked = (manifest.get("verdict") or {}).get("picked")
    found = [
        Rung(
            name=rung,
            calibrate=words.lost(name, drop),
            evaluate=words.lost(name, (lost.get(rung) or {}).get("evaluate")),
            file=words.byte_size((measured.get(rung) or {}).get("file_bytes")),
            kept=_kept(manifest, drop),
            picked=rung == picked,
        )
        for rung, drop in (manifest.get("rungs") or {}).items()
    ]
    unit = "growth of the error" if words.lost_in_percent(name) else "points lost"
    return Ladder(found, unit) if found else None


def _kept(manifest: Json, drop: float | None) -> bool | None:
    """Whether the rung was inside the goal on the calibrate split; None when the page knows no goal."""
    limit = ((manifest.get("verdict") or {}).get("goal") or {}).get("max_drop")
    if limit is None or drop is None:
        return None
    return bool(drop <= limit + DROP_RESOLUTION)
