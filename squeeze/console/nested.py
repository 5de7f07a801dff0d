"""JSON that has no screen of its own: its words, indented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.console.text import shown

if TYPE_CHECKING:
    from rich.console import Console


def show_nested(console: Console, value: dict[str, Any], indent: int = 0) -> None:  # Any: JSON
    """One line a key; what is nested follows below it, two columns further in."""
    pad = "  " * indent
    for key, item in value.items():
        if isinstance(item, dict):
            console.print(shown(f"{pad}{key}", style="bold"))
            show_nested(console, item, indent + 1)
        elif isinstance(item, list):
            console.print(shown(f"{pad}{key}: {', '.join(map(str, item)) or '-'}"))
        else:
            console.print(shown(f"{pad}{key}: {'-' if item is None else item}"))
