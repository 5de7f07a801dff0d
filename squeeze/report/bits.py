"""The rungs of fewer bits: what each lost where the ladder decided, and where only the judge looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Rung:
    """A line of the table; `kept` is None when the log does not say, `picked` when it is the shipped file."""

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
    picked = (manifest.get("verdict") or {}).get("picked")
    found = [
        Rung(
            name=rung,
            calibrate=words.lost(name, drop),
            evaluate=words.lost(
                name,
                words.drop(name, teacher.get("metric"), (measured.get(rung) or {}).get("metric")),
            ),
            file=words.byte_size((measured.get(rung) or {}).get("file_bytes")),
            kept=_kept(manifest, rung),
            picked=rung == picked,
        )
        for rung, drop in (manifest.get("rungs") or {}).items()
    ]
    unit = "growth of the error" if name == "mse" else "points lost"
    return Ladder(found, unit) if found else None


def tried(manifest: Json, rung: str) -> Json:
    """What the log of steps says of a rung; empty when it says nothing."""
    logged = [t for s in manifest.get("steps") or [] for t in s.get("tried") or []]
    return next((t for t in logged if t.get("name") == rung), {})


def _kept(manifest: Json, rung: str) -> bool | None:
    kept = tried(manifest, rung).get("kept")
    return None if kept is None else bool(kept)
