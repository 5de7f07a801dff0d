"""The screen of `squeeze doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.console.table import show_table

if TYPE_CHECKING:
    from rich.console import Console


def show_doctor(console: Console, found: dict[str, Any]) -> None:  # Any: JSON
    """What this machine has; what is missing says what to do."""
    rows = [
        ("ok" if e["ok"] else "WARN", e["name"], e["found"], e.get("hint") or "")
        for e in found["entries"]
    ]
    show_table(console, ("", "what", "found", "do"), rows)
