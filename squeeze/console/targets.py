"""The screens of `squeeze targets`: a line a target, one target with its sources, and what was written."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from squeeze.console.table import show_table
from squeeze.console.text import shown
from squeeze.runtimes.runtime import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

Json = dict[str, Any]  # Any: JSON
_OURS = ("gives", "missing", "runtime_version", "sources", "schema", "name", "summary")


def show_targets(console: Console, found: Json) -> None:
    """What each gives here, what the classes mean, and what would give better numbers."""
    targets = found["targets"]
    rows = [
        (t["name"], t["gives"] or "nothing", t["runtime_version"], t["summary"]) for t in targets
    ]
    show_table(console, ("target", "gives here", "runtime", "what"), rows)
    console.print()
    for source in dict.fromkeys(t["gives"] for t in targets if t["gives"]):
        console.print(shown(f"{source}: {MEANINGS[source]}"))
    for missing in dict.fromkeys(t["missing"] for t in targets if t["missing"]):
        names = ", ".join(t["name"] for t in targets if t["missing"] == missing)
        console.print(shown(f"missing for {names}: {missing}"))
    console.print(
        shown("one of them: squeeze targets NAME; this machine: squeeze targets new NAME")
    )


def show_target(console: Console, found: Json) -> None:
    """Each key that its file sets, with the source of each number."""
    target = found["target"]
    console.print(shown(f"{target['name']}: {target['summary']}"))
    here = target["gives"]
    said = f"{here}: {MEANINGS[here]}" if here else "nothing"
    console.print(shown(f"gives here {said} ({target['runtime_version']})"))
    if target["missing"]:
        console.print(shown(f"better: {target['missing']}"))
    console.print()
    sources = target["sources"]
    rows = [(key, value, sources.get(key, "")) for key, value in _keys(target)]
    show_table(console, ("key", "value", "source"), rows)


def show_written(console: Console, found: Json) -> None:
    """The file, and how it is used."""
    show_target(console, found)
    console.print()
    path = str(found["path"])
    console.print(shown(f"{path} · next: squeeze profile MODEL --target {shlex.quote(path)}"))


def _keys(value: Json, before: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if not before and key in _OURS:
            continue
        if isinstance(item, dict):
            yield from _keys(item, f"{before}{key}.")
        elif item is not None and item not in ([], ""):
            yield f"{before}{key}", _text(item)


def _text(item: object) -> str:
    if isinstance(item, list):
        return ", ".join(map(str, item))
    if isinstance(item, bool):
        return "yes" if item else "no"
    return f"{item:,.0f}" if isinstance(item, (int, float)) else str(item)
