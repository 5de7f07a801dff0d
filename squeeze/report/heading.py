"""What the page is about: the teacher, the target and the day."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from squeeze.report import words

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Heading:
    """`text` is the headline; `package` and `date` stand above it, empty where the manifest has none."""

    text: str
    package: str
    date: str

    @property
    def title(self) -> str:
        """For the tab of a browser and a list of bookmarks."""
        return ", ".join(part for part in (self.text, self.date) if part)


def heading(manifest: Json) -> Heading:
    """'teacher.pt2 for rpi4'; the name of the package where the teacher is not known."""
    package = str(manifest.get("name") or "")
    target = str((manifest.get("target") or {}).get("name") or "")
    text = teacher(manifest) or package or "model"
    return Heading(
        text=f"{text} for {target}" if target else text,
        package=package,
        date=str(manifest.get("date") or ""),
    )


def teacher(manifest: Json) -> str:
    """The name of the teacher's file, or the function that makes it."""
    found = manifest.get("teacher") or {}
    source = str(found.get("source") or "")
    return source if found.get("kind") == "factory" else PurePath(source).name


def packages(found: list[Json]) -> Heading:
    """The same for the packages of one compile (`squeeze.artifact.write_index`)."""
    teachers = {str(p.get("teacher") or "") for p in found} - {""}
    days = sorted({str(p.get("date") or "") for p in found} - {""})
    text = teachers.pop() if len(teachers) == 1 else "One compile"
    return Heading(
        f"{text} for {words.several(len(found), 'target')}", "", days[-1] if days else ""
    )


def profile(found: Json) -> Heading:
    """The same for a profile on several targets (`squeeze.commands.across.across`)."""
    model = PurePath(str(found.get("model") or "")).name or "model"
    number = len(found.get("targets") or [])
    return Heading(
        f"{model} on {words.several(number, 'target')}", "", str(found.get("date") or "")
    )
